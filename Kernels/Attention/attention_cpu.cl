// Scaled dot-product attention without the matrix of scores in memory, CPU form (tile_cpu.cl and
// attention_shared.cl come first).
//
//     forward:   S = scale q kᵀ    L = log sum exp S    P = exp(S - L)    y = P v
//     backward:  dS = P ∘ (dy vᵀ - D)    dq = scale dS k    dk = scale dSᵀ q    dv = Pᵀ dy
//
// q, y and their gradients are [batch, queries, heads, HEAD_DIMENSION], k, v and theirs [batch, keys, heads,
// HEAD_DIMENSION]; L and D (attention_shared.cl) are [batch, heads, queries] in float. Backward makes the scores anew;
// its two kernels each own the rows they write.
//
// An item owns OWN_ROWS rows of one head: queries in forward and backward_query, keys in backward_key_value. The other
// side passes by STEP_ROWS rows at a time: a block of scores is one product of register tiles, its use another. What
// passes by was packed by attention_pack once for all items of the head, as floats:
//
//     panels  [batch heads, rows / TILE_COLUMNS, PADDED, TILE_COLUMNS]   the right side of a product along the channels
//     rows    [batch heads, rows rounded up, PADDED]                     the right side of a product along the rows
//
// with zeros past the last row and channel. Exponents are taken to base 2.

#ifndef OWN_ROWS
#define OWN_ROWS 96  // rows an item owns
#endif
#ifndef STEP_ROWS
// Whole tiles of either kind go into both.
#define STEP_ROWS 96  // rows of the other side that pass by at a time
#endif

#define PADDED ((HEAD_DIMENSION + LANES - 1) / LANES * LANES)
#define ROUND_UP(count) (((count) + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS)

// Where the group's head begins in what attention_pack made of `tokens` rows.
static inline size_t packed_start(int tokens) { return (size_t)get_group_id(1) * ROUND_UP(tokens) * PADDED; }

// The larger of two vectors by a plain comparison, which is one instruction where fmax, with its care for NaN, is four.
#define LARGER(a, b) select(a, b, (b) > (a))

// 2^x for x of at most 1/2 by a polynomial on [-1/2, 1/2], within 1e-7 of it; below 2^-126 it stops falling. A NaN
// stays one. What is cut off x - 1/2 is x rounded to a whole number, since x is not positive: rint is a dozen
// instructions in some compilers.
static inline floatv exp2_vector(floatv x) {
  x = select(x, (floatv)(-126.0f), (floatv)(-126.0f) > x);
  intv whole = JOIN(convert_int, LANES)(x - 0.5f);
  floatv f = x - JOIN(convert_float, LANES)(whole);
  floatv p = fma((floatv)(1.54614448e-4f), f, (floatv)(1.34004280e-3f));
  p = fma(p, f, (floatv)(9.61805694e-3f));
  p = fma(p, f, (floatv)(5.55032715e-2f));
  p = fma(p, f, (floatv)(0.240226507f));
  p = fma(p, f, (floatv)(0.693147182f));
  p = fma(p, f, (floatv)(1.0f));
  return JOIN(as_float, LANES)(JOIN(as_int, LANES)(p) + (whole << 23));
}

static inline float highest_of(floatv x) {
#if LANES == 16
  float8 halves = LARGER(x.lo, x.hi);
  float4 quarter = LARGER(halves.lo, halves.hi);
#elif LANES == 8
  float4 quarter = LARGER(x.lo, x.hi);
#else
  float4 quarter = x;
#endif
  float2 pair = LARGER(quarter.lo, quarter.hi);
  return pair.s0 > pair.s1 ? pair.s0 : pair.s1;
}

static inline float sum_of(floatv x) {
  float numbers[LANES], sum = 0.0f;
  vstorev(x, 0, numbers);
  EACH (i, LANES) sum += numbers[i];
  return sum;
}

// An odd number of vectors a row ends in a tile of three, of fewer rows so that it fits the registers too; or of one,
// where the row is no longer.
#define ODD_VECTORS (PADDED == LANES ? 1 : 3)
#define ODD_ROWS (PADDED == LANES ? 2 * TILE_ROWS : 2 * TILE_ROWS / 3)

// As TILE_PRODUCT, but of ODD_ROWS rows by ODD_VECTORS vectors.
#define ODD_PRODUCT(A_OF_R_K)                                                                      \
  {                                                                                                \
    floatv sums[ODD_ROWS][ODD_VECTORS];                                                            \
    EACH (r, ODD_ROWS)                                                                             \
      EACH (v, ODD_VECTORS) sums[r][v] = accumulate ? vloadv(v, c + r * c_pitch) : (floatv)(0.0f); \
    for (int k = 0; k < depth; ++k) {                                                              \
      floatv columns[ODD_VECTORS];                                                                 \
      EACH (v, ODD_VECTORS) columns[v] = vloadv(v, b + k * b_pitch);                               \
      EACH (r, ODD_ROWS) {                                                                         \
        floatv x = (floatv)(A_OF_R_K);                                                             \
        EACH (v, ODD_VECTORS) sums[r][v] = fma(x, columns[v], sums[r][v]);                         \
      }                                                                                            \
    }                                                                                              \
    EACH (r, ODD_ROWS)                                                                             \
      EACH (v, ODD_VECTORS) vstorev(sums[r][v], v, c + r * c_pitch);                               \
  }

static inline void odd_product(float *c, int c_pitch, const float *a, int a_pitch, __global const float *b, int b_pitch,
                               int depth, int accumulate) {
  ODD_PRODUCT(a[r * a_pitch + k]);
}

// The same two with a read along its columns and c in global memory: what is summed belongs to no item's own rows.
static inline void transposed_product(__global float *c, int c_pitch, const float *a, int a_pitch, const float *b,
                                      int b_pitch, int depth, int accumulate) {
  TILE_PRODUCT(a[k * a_pitch + r]);
}

static inline void odd_transposed_product(__global float *c, int c_pitch, const float *a, int a_pitch, const float *b,
                                          int b_pitch, int depth, int accumulate) {
  ODD_PRODUCT(a[k * a_pitch + r]);
}

// Columns of PADDED that whole tiles make.
#define EVEN (PADDED % TILE_COLUMNS == 0 ? PADDED : PADDED - ODD_VECTORS * LANES)

// scores [OWN_ROWS, STEP_ROWS] = own [OWN_ROWS, PADDED] times `count` columns of panels.
static inline void score_product(float *scores, const float *own, __global const float *panels, int rows, int count) {
  for (int n = 0; n < count; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      tile_product_global(scores + r * STEP_ROWS + n, STEP_ROWS, own + r * PADDED, PADDED, panels + n * PADDED,
                          TILE_COLUMNS, HEAD_DIMENSION, 0);
}

// sums [OWN_ROWS, PADDED] += weights [OWN_ROWS, STEP_ROWS] times `count` packed rows.
static inline void sum_product(float *sums, const float *weights, __global const float *packed, int rows, int count) {
  for (int n = 0; n < EVEN; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      tile_product_global(sums + r * PADDED + n, PADDED, weights + r * STEP_ROWS, STEP_ROWS, packed + n, PADDED, count,
                          1);
#if PADDED % TILE_COLUMNS != 0
  for (int r = 0; r < rows; r += ODD_ROWS)
    odd_product(sums + r * PADDED + EVEN, PADDED, weights + r * STEP_ROWS, STEP_ROWS, packed + EVEN, PADDED, count, 1);
#endif
}

// The rows an item owns, as floats; the rows of the last tile that aren't there become zeros.
static inline void read_own(float *own, __global const storage_t *source, size_t pitch, int count) {
  for (int r = 0; r < OWN_ROWS; ++r) {
    int present = r < count ? HEAD_DIMENSION : 0;
    if (present) read_row(own + r * PADDED, source + r * pitch, HEAD_DIMENSION);
    zero_row(own + r * PADDED + present, PADDED - present);
  }
}

static inline void write_own(__global storage_t *target, const float *row, float factor) {
  int d = 0;
  for (; d + 8 <= HEAD_DIMENSION; d += 8) vstore8(pack8(vload8(0, row + d) * factor), 0, target + d);
  for (; d < HEAD_DIMENSION; ++d) STORE(target, d, row[d] * factor);
}

// Groups: (tokens / TILE_COLUMNS rounded up, batch heads). Either result may be left out.
__kernel GROUP_OF(1) void attention_pack(__global float *panels, __global float *rows, __global const storage_t *x,
                                         int heads, int tokens, int has_panels, int has_rows) {
  int first = get_group_id(0) * TILE_COLUMNS, count = min(TILE_COLUMNS, tokens - first);
  size_t pitch = (size_t)heads * HEAD_DIMENSION, start = packed_start(tokens) + (size_t)first * PADDED;
  CACHE_LINE float block[TILE_COLUMNS * PADDED];
  x += head_start(heads, tokens) + first * pitch;
  for (int r = 0; r < TILE_COLUMNS; ++r) {
    int present = r < count ? HEAD_DIMENSION : 0;
    if (present) read_row(block + r * PADDED, x + r * pitch, HEAD_DIMENSION);
    zero_row(block + r * PADDED + present, PADDED - present);
  }
  if (has_rows)
    for (int i = 0; i < TILE_COLUMNS * PADDED; ++i) rows[start + i] = block[i];
  if (has_panels)
    for (int d = 0; d < PADDED; ++d)
      for (int r = 0; r < TILE_COLUMNS; ++r) panels[start + d * TILE_COLUMNS + r] = block[r * PADDED + d];
}

// Groups: (queries / OWN_ROWS rounded up, batch heads), as in backward_query; in backward_key_value keys / OWN_ROWS.
__kernel GROUP_OF(1) void attention_forward(__global storage_t *y, __global float *log_sum_exp,
                                            __global const storage_t *q, __global const float *key_panels,
                                            __global const float *value_rows, int heads, int queries, int keys,
                                            float scale, int is_causal) {
  int first_query = get_group_id(0) * OWN_ROWS, count = min(OWN_ROWS, queries - first_query);
  size_t pitch = (size_t)heads * HEAD_DIMENSION, start = head_start(heads, queries) + first_query * pitch;
  size_t packed = packed_start(keys);
  CACHE_LINE float own[OWN_ROWS * PADDED], sums[OWN_ROWS * PADDED], scores[OWN_ROWS * STEP_ROWS];
  floatv totals[OWN_ROWS];
  float highest[OWN_ROWS];

  read_own(own, q + start, pitch, count);
  zero_row(sums, OWN_ROWS * PADDED);
  for (int r = 0; r < OWN_ROWS; ++r) {
    totals[r] = (floatv)(0.0f);
    highest[r] = LOWEST_SCORE;
  }
  float factor = scale * LOG2_E;
  int end = is_causal ? min(keys, first_query + count) : keys;
  for (int first = 0; first < end; first += STEP_ROWS) {
    int seen = min(STEP_ROWS, end - first), width = ROUND_UP(seen);
    score_product(scores, own, key_panels + packed + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP_ROWS;
      int limit = is_causal ? min(seen, first_query + r + 1 - first) : seen;
      for (int j = max(limit, 0); j < width; ++j) row[j] = LOWEST_SCORE;
      floatv top = (floatv)(LOWEST_SCORE);
      for (int j = 0; j < width; j += LANES) {
        floatv score = vloadv(0, row + j);
        top = LARGER(top, score);
      }
      float highest_here = highest_of(top) * factor;
      float new_highest = highest_here > highest[r] ? highest_here : highest[r];
      float shrink = exp2_vector((floatv)(highest[r] - new_highest)).s0;
      floatv total = totals[r] * shrink;
      for (int j = 0; j < width; j += LANES) {
        floatv p = exp2_vector(fma(vloadv(0, row + j), (floatv)(factor), (floatv)(-new_highest)));
        total += p;
        vstorev(p, 0, row + j);
      }
      totals[r] = total;
      if (shrink != 1.0f)
        for (int d = 0; d < PADDED; d += LANES)
          vstorev(vloadv(0, sums + r * PADDED + d) * shrink, 0, sums + r * PADDED + d);
      highest[r] = new_highest;
    }
    sum_product(sums, scores, value_rows + packed + (size_t)first * PADDED, count, seen);
  }
  for (int r = 0; r < count; ++r) {
    float total = sum_of(totals[r]);
    write_own(y + start + r * pitch, sums + r * PADDED, 1.0f / total);
    log_sum_exp[get_group_id(1) * queries + first_query + r] = (highest[r] + log2(total)) * LN_2;
  }
}

#if HEAD_DIMENSION <= 160  // the width of heads that a gradient passes through

__kernel GROUP_OF(1) void attention_backward_query(__global storage_t *dq, __global const storage_t *dy,
                                                   __global const storage_t *q, __global const float *key_panels,
                                                   __global const float *key_rows, __global const float *value_panels,
                                                   __global const float *log_sum_exp, __global const float *products,
                                                   int heads, int queries, int keys, float scale, int is_causal) {
  int first_query = get_group_id(0) * OWN_ROWS, count = min(OWN_ROWS, queries - first_query);
  size_t pitch = (size_t)heads * HEAD_DIMENSION, start = head_start(heads, queries) + first_query * pitch;
  size_t packed = packed_start(keys);
  int first_row = get_group_id(1) * queries + first_query;
  CACHE_LINE float own[OWN_ROWS * PADDED], own_gradient[OWN_ROWS * PADDED], sums[OWN_ROWS * PADDED];
  CACHE_LINE float scores[OWN_ROWS * STEP_ROWS], gradients[OWN_ROWS * STEP_ROWS];

  read_own(own, q + start, pitch, count);
  read_own(own_gradient, dy + start, pitch, count);
  zero_row(sums, OWN_ROWS * PADDED);
  int end = is_causal ? min(keys, first_query + count) : keys;
  for (int first = 0; first < end; first += STEP_ROWS) {
    int seen = min(STEP_ROWS, end - first), width = ROUND_UP(seen);
    score_product(scores, own, key_panels + packed + (size_t)first * PADDED, count, seen);
    score_product(gradients, own_gradient, value_panels + packed + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP_ROWS, *gradient = gradients + r * STEP_ROWS;
      floatv factor = (floatv)(scale * LOG2_E), log_sum = (floatv)(-LOG2_E * log_sum_exp[first_row + r]);
      floatv product = (floatv)(products[first_row + r]);
      for (int j = 0; j < width; j += LANES) {
        floatv p = exp2_vector(fma(vloadv(0, row + j), factor, log_sum));
        vstorev(p * (vloadv(0, gradient + j) - product), 0, row + j);
      }
      int limit = is_causal ? min(seen, first_query + r + 1 - first) : seen;
      for (int j = max(limit, 0); j < width; ++j) row[j] = 0.0f;
    }
    sum_product(sums, scores, key_rows + packed + (size_t)first * PADDED, count, seen);
  }
  for (int r = 0; r < count; ++r) write_own(dq + start + r * pitch, sums + r * PADDED, scale);
}

// sums [rows, PADDED] = or += weightsᵀ, `count` rows of [rows of STEP_ROWS], times the `count` rows an item owns.
static inline void transposed_sum_product(__global float *sums, const float *weights, const float *own, int rows,
                                          int count, int accumulate) {
  for (int n = 0; n < EVEN; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      transposed_product(sums + r * PADDED + n, PADDED, weights + r, STEP_ROWS, own + n, PADDED, count, accumulate);
#if PADDED % TILE_COLUMNS != 0
  for (int r = 0; r < rows; r += ODD_ROWS)
    odd_transposed_product(sums + r * PADDED + EVEN, PADDED, weights + r, STEP_ROWS, own + EVEN, PADDED, count,
                           accumulate);
#endif
}

// dk and dv of the keys from first_key on; where query_sums is given, their part of dq / scale too: added, but for the
// first keys'. q, dy and what was packed of them begin with the head's first row, L and D with its first query.
static inline void backward_keys(__global storage_t *dk, __global storage_t *dv, __global float *query_sums,
                                 __global const float *gradient_panels, __global const float *gradient_rows,
                                 __global const float *query_panels, __global const float *query_rows,
                                 __global const storage_t *k, __global const storage_t *v,
                                 __global const float *log_sum_exp, __global const float *products, size_t pitch,
                                 int first_key, int queries, int keys, float scale, int is_causal) {
  int count = min(OWN_ROWS, keys - first_key);
  size_t start = first_key * pitch;
  CACHE_LINE float own_key[OWN_ROWS * PADDED], own_value[OWN_ROWS * PADDED];
  CACHE_LINE float key_sums[OWN_ROWS * PADDED], value_sums[OWN_ROWS * PADDED];
  CACHE_LINE float scores[OWN_ROWS * STEP_ROWS], gradients[OWN_ROWS * STEP_ROWS];
  CACHE_LINE float log_sums[STEP_ROWS], row_products[STEP_ROWS];

  read_own(own_key, k + start, pitch, count);
  read_own(own_value, v + start, pitch, count);
  zero_row(key_sums, OWN_ROWS * PADDED);
  zero_row(value_sums, OWN_ROWS * PADDED);
  int begin = is_causal ? first_key / TILE_COLUMNS * TILE_COLUMNS : 0;
  for (int first = begin; first < queries; first += STEP_ROWS) {
    int seen = min(STEP_ROWS, queries - first), width = ROUND_UP(seen);
    for (int j = 0; j < width; ++j) {
      log_sums[j] = j < seen ? -LOG2_E * log_sum_exp[first + j] : LOWEST_SCORE;
      row_products[j] = j < seen ? products[first + j] : 0.0f;
    }
    score_product(scores, own_key, query_panels + (size_t)first * PADDED, count, seen);
    score_product(gradients, own_value, gradient_panels + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP_ROWS, *gradient = gradients + r * STEP_ROWS;
      floatv factor = (floatv)(scale * LOG2_E);
      for (int j = 0; j < width; j += LANES)
        vstorev(exp2_vector(fma(vloadv(0, row + j), factor, vloadv(0, log_sums + j))), 0, row + j);
      if (is_causal)
        for (int j = 0; j < min(width, first_key + r - first); ++j) row[j] = 0.0f;
      for (int j = 0; j < width; j += LANES)
        vstorev(vloadv(0, row + j) * (vloadv(0, gradient + j) - vloadv(0, row_products + j)), 0, gradient + j);
    }
    sum_product(value_sums, scores, gradient_rows + (size_t)first * PADDED, count, seen);
    sum_product(key_sums, gradients, query_rows + (size_t)first * PADDED, count, seen);
    if (query_sums)
      transposed_sum_product(query_sums + (size_t)first * PADDED, gradients, own_key, seen, count, first_key > 0);
  }
  for (int r = 0; r < count; ++r) {
    write_own(dk + start + r * pitch, key_sums + r * PADDED, scale);
    write_own(dv + start + r * pitch, value_sums + r * PADDED, 1.0f);
  }
}

// Groups: (keys / OWN_ROWS rounded up, batch heads).
__kernel GROUP_OF(1) void attention_backward_key_value(
    __global storage_t *dk, __global storage_t *dv, __global const float *gradient_panels,
    __global const float *gradient_rows, __global const float *query_panels, __global const float *query_rows,
    __global const storage_t *k, __global const storage_t *v, __global const float *log_sum_exp,
    __global const float *products, int heads, int queries, int keys, float scale, int is_causal) {
  size_t pitch = (size_t)heads * HEAD_DIMENSION, start = head_start(heads, keys);
  size_t packed = packed_start(queries), row = (size_t)get_group_id(1) * queries;
  backward_keys(dk + start, dv + start, 0, gradient_panels + packed, gradient_rows + packed, query_panels + packed,
                query_rows + packed, k + start, v + start, log_sum_exp + row, products + row, pitch,
                get_group_id(0) * OWN_ROWS, queries, keys, scale, is_causal);
}

// All three gradients, a head an item: dq gathers in query_sums, [batch heads, queries rounded up + STEP_ROWS, PADDED],
// from the item's blocks of keys in turn, so that scores are made once: five products instead of seven. For devices
// with fewer units than there are heads. Groups: (1, batch heads).
__kernel GROUP_OF(1) void attention_backward_head(__global storage_t *dq, __global storage_t *dk,
                                                  __global storage_t *dv, __global float *query_sums,
                                                  __global const float *gradient_panels,
                                                  __global const float *gradient_rows,
                                                  __global const float *query_panels, __global const float *query_rows,
                                                  __global const storage_t *k, __global const storage_t *v,
                                                  __global const float *log_sum_exp, __global const float *products,
                                                  int heads, int queries, int keys, float scale, int is_causal) {
  size_t pitch = (size_t)heads * HEAD_DIMENSION, start = head_start(heads, keys);
  size_t packed = packed_start(queries), row = (size_t)get_group_id(1) * queries;
  query_sums += (size_t)get_group_id(1) * (ROUND_UP(queries) + STEP_ROWS) * PADDED;
  for (int first_key = 0; first_key < keys; first_key += OWN_ROWS)
    backward_keys(dk + start, dv + start, query_sums, gradient_panels + packed, gradient_rows + packed,
                  query_panels + packed, query_rows + packed, k + start, v + start, log_sum_exp + row, products + row,
                  pitch, first_key, queries, keys, scale, is_causal);
  dq += head_start(heads, queries);
  CACHE_LINE float sums[PADDED];
  for (int i = 0; i < queries; ++i) {
    for (int d = 0; d < PADDED; ++d) sums[d] = query_sums[(size_t)i * PADDED + d];
    write_own(dq + i * pitch, sums, scale);
  }
}

#endif
