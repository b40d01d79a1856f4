// Scaled dot-product attention without the matrix of scores in memory, CPU form (storage.cl, tile_cpu.cl and
// attention_rows.cl come first).
//
//     forward:   S = scale q kᵀ    L = log sum exp S    P = exp(S - L)    y = P v
//     backward:  dS = P ∘ (dy vᵀ - D)    dq = scale dS k    dk = scale dSᵀ q    dv = Pᵀ dy
//
// q, y and their gradients are [batch, queries, heads, HEAD_DIMENSION], k, v and theirs [batch, keys, heads,
// HEAD_DIMENSION]; L and D (attention_rows.cl) are [batch, heads, queries] in float. Backward makes the scores anew;
// its two kernels each own the rows they write.
//
// An item owns BLOCK rows of one head: queries in forward and backward_query, keys in backward_key_value. The other
// side passes by STEP rows at a time: a block of scores is one product of register tiles, its use another. What passes
// by was packed by attention_pack once for all items of the head, as floats:
//
//     panels  [batch heads, rows / TILE_COLUMNS, PADDED, TILE_COLUMNS]   the right side of a product along the channels
//     rows    [batch heads, rows rounded up, PADDED]                     the right side of a product along the rows
//
// with zeros past the last row and channel. Exponents are taken to base 2; a masked score is a large negative number.

#ifndef HEAD_DIMENSION
#define HEAD_DIMENSION 40  // channels of a head, 1 to 512
#endif
#ifndef BLOCK
#define BLOCK 96  // rows an item owns
#endif
#ifndef STEP
// Whole tiles of either kind go into both.
#define STEP 96  // rows of the other side that pass by at a time
#endif

#define PADDED ((HEAD_DIMENSION + LANES - 1) / LANES * LANES)
#define MASKED -1e30f
#define LOG2_E 1.44269504f
#define LN_2 0.693147181f
#define ROUND_UP(count) (((count) + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS)

// The larger of two vectors by a plain comparison, which is one instruction where fmax, with its care for NaN, is four.
#define LARGER(a, b) select(a, b, (b) > (a))

// 2^x for x of at most 1/2 by a polynomial on [-1/2, 1/2], within 1e-7 of it; below 2^-126 it stops falling. A NaN
// stays one. What is cut off x - 1/2 is x rounded to a whole number, since x is not positive: rint is a dozen
// instructions in some compilers.
static inline floatv exp2_vector(floatv x) {
  x = select(x, (floatv)(-126.0f), (floatv)(-126.0f) > x);
  const intv whole = JOIN(convert_int, LANES)(x - 0.5f);
  const floatv f = x - JOIN(convert_float, LANES)(whole);
  floatv p = fma((floatv)(1.54614448e-4f), f, (floatv)(1.34004280e-3f));
  p = fma(p, f, (floatv)(9.61805694e-3f));
  p = fma(p, f, (floatv)(5.55032715e-2f));
  p = fma(p, f, (floatv)(0.240226507f));
  p = fma(p, f, (floatv)(0.693147182f));
  p = fma(p, f, (floatv)(1.0f));
  return JOIN(as_float, LANES)(JOIN(as_int, LANES)(p) + (whole << 23));
}

static inline float highest_of(const floatv x) {
#if LANES == 16
  const float8 halves = LARGER(x.lo, x.hi);
  const float4 quarter = LARGER(halves.lo, halves.hi);
#elif LANES == 8
  const float4 quarter = LARGER(x.lo, x.hi);
#else
  const float4 quarter = x;
#endif
  const float2 pair = LARGER(quarter.lo, quarter.hi);
  return pair.s0 > pair.s1 ? pair.s0 : pair.s1;
}

static inline float sum_of(const floatv x) {
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
      EACH (v, ODD_VECTORS) sums[r][v] = accumulate ? vloadv(v, c + r * cStride) : (floatv)(0.0f); \
    for (int k = 0; k < depth; ++k) {                                                              \
      floatv columns[ODD_VECTORS];                                                                 \
      EACH (v, ODD_VECTORS) columns[v] = vloadv(v, b + k * bStride);                               \
      EACH (r, ODD_ROWS) {                                                                         \
        const floatv x = (floatv)(A_OF_R_K);                                                       \
        EACH (v, ODD_VECTORS) sums[r][v] = fma(x, columns[v], sums[r][v]);                         \
      }                                                                                            \
    }                                                                                              \
    EACH (r, ODD_ROWS)                                                                             \
      EACH (v, ODD_VECTORS) vstorev(sums[r][v], v, c + r * cStride);                               \
  }

static inline void odd_product(float *c, const int cStride, const float *a, const int aStride, __global const float *b,
                               const int bStride, const int depth, const int accumulate) {
  ODD_PRODUCT(a[r * aStride + k]);
}

// The same two with a read along its columns and c in global memory: what is summed belongs to no item's own rows.
static inline void transposed_product(__global float *c, const int cStride, const float *a, const int aStride,
                                      const float *b, const int bStride, const int depth, const int accumulate) {
  TILE_PRODUCT(a[k * aStride + r]);
}

static inline void odd_transposed_product(__global float *c, const int cStride, const float *a, const int aStride,
                                          const float *b, const int bStride, const int depth, const int accumulate) {
  ODD_PRODUCT(a[k * aStride + r]);
}

// Columns of PADDED that whole tiles make.
#define EVEN (PADDED % TILE_COLUMNS == 0 ? PADDED : PADDED - ODD_VECTORS * LANES)

// scores [BLOCK, STEP] = own [BLOCK, PADDED] times `count` columns of panels.
static inline void score_product(float *scores, const float *own, __global const float *panels, const int rows,
                                 const int count) {
  for (int n = 0; n < count; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      tile_product_global(scores + r * STEP + n, STEP, own + r * PADDED, PADDED, panels + n * PADDED, TILE_COLUMNS,
                          HEAD_DIMENSION, 0);
}

// sums [BLOCK, PADDED] += weights [BLOCK, STEP] times `count` packed rows.
static inline void sum_product(float *sums, const float *weights, __global const float *packed, const int rows,
                               const int count) {
  for (int n = 0; n < EVEN; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      tile_product_global(sums + r * PADDED + n, PADDED, weights + r * STEP, STEP, packed + n, PADDED, count, 1);
#if PADDED % TILE_COLUMNS != 0
  for (int r = 0; r < rows; r += ODD_ROWS)
    odd_product(sums + r * PADDED + EVEN, PADDED, weights + r * STEP, STEP, packed + EVEN, PADDED, count, 1);
#endif
}

// The rows an item owns, as floats; the rows of the last tile that aren't there become zeros.
static inline void read_own(float *own, __global const storage_t *source, const size_t pitch, const int count) {
  for (int r = 0; r < BLOCK; ++r) {
    const int present = r < count ? HEAD_DIMENSION : 0;
    if (present) read_row(own + r * PADDED, source + r * pitch, HEAD_DIMENSION);
    zero_row(own + r * PADDED + present, PADDED - present);
  }
}

static inline void write_own(__global storage_t *target, const float *row, const float factor) {
  int d = 0;
  for (; d + 8 <= HEAD_DIMENSION; d += 8) vstore8(pack8(vload8(0, row + d) * factor), 0, target + d);
  for (; d < HEAD_DIMENSION; ++d) STORE(target, d, row[d] * factor);
}

// Groups: (tokens / TILE_COLUMNS rounded up, batch heads). Either result may be left out.
__kernel ONE_ITEM void attention_pack(__global float *panels, __global float *rows, __global const storage_t *x,
                                      const int heads, const int tokens, const int hasPanels, const int hasRows) {
  const int first = get_group_id(0) * TILE_COLUMNS, count = min(TILE_COLUMNS, tokens - first);
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t start = ((size_t)get_group_id(1) * ROUND_UP(tokens) + first) * PADDED;
  CACHE_LINE float block[TILE_COLUMNS * PADDED];
  x += ((size_t)sample * tokens + first) * pitch + head * HEAD_DIMENSION;
  for (int r = 0; r < TILE_COLUMNS; ++r) {
    const int present = r < count ? HEAD_DIMENSION : 0;
    if (present) read_row(block + r * PADDED, x + r * pitch, HEAD_DIMENSION);
    zero_row(block + r * PADDED + present, PADDED - present);
  }
  if (hasRows)
    for (int i = 0; i < TILE_COLUMNS * PADDED; ++i) rows[start + i] = block[i];
  if (hasPanels)
    for (int d = 0; d < PADDED; ++d)
      for (int r = 0; r < TILE_COLUMNS; ++r) panels[start + d * TILE_COLUMNS + r] = block[r * PADDED + d];
}

// Groups: (queries / BLOCK rounded up, batch heads), as in backward_query; in backward_key_value keys / BLOCK.
__kernel ONE_ITEM void attention_forward(__global storage_t *y, __global float *logSumExp, __global const storage_t *q,
                                         __global const float *keyPanels, __global const float *valueRows,
                                         const int heads, const int queries, const int keys, const float scale,
                                         const int isCausal) {
  const int firstQuery = get_group_id(0) * BLOCK, count = min(BLOCK, queries - firstQuery);
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t start = ((size_t)sample * queries + firstQuery) * pitch + head * HEAD_DIMENSION;
  const size_t packed = (size_t)get_group_id(1) * ROUND_UP(keys) * PADDED;
  CACHE_LINE float own[BLOCK * PADDED], sums[BLOCK * PADDED], scores[BLOCK * STEP];
  floatv totals[BLOCK];
  float highest[BLOCK];

  read_own(own, q + start, pitch, count);
  zero_row(sums, BLOCK * PADDED);
  for (int r = 0; r < BLOCK; ++r) {
    totals[r] = (floatv)(0.0f);
    highest[r] = MASKED;
  }
  const float factor = scale * LOG2_E;
  const int end = isCausal ? min(keys, firstQuery + count) : keys;
  for (int first = 0; first < end; first += STEP) {
    const int seen = min(STEP, end - first), width = ROUND_UP(seen);
    score_product(scores, own, keyPanels + packed + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP;
      const int limit = isCausal ? min(seen, firstQuery + r + 1 - first) : seen;
      for (int j = max(limit, 0); j < width; ++j) row[j] = MASKED;
      floatv top = (floatv)(MASKED);
      for (int j = 0; j < width; j += LANES) {
        const floatv score = vloadv(0, row + j);
        top = LARGER(top, score);
      }
      const float highestHere = highest_of(top) * factor;
      const float newHighest = highestHere > highest[r] ? highestHere : highest[r];
      const float shrink = exp2_vector((floatv)(highest[r] - newHighest)).s0;
      floatv total = totals[r] * shrink;
      for (int j = 0; j < width; j += LANES) {
        const floatv p = exp2_vector(fma(vloadv(0, row + j), (floatv)(factor), (floatv)(-newHighest)));
        total += p;
        vstorev(p, 0, row + j);
      }
      totals[r] = total;
      if (shrink != 1.0f)
        for (int d = 0; d < PADDED; d += LANES)
          vstorev(vloadv(0, sums + r * PADDED + d) * shrink, 0, sums + r * PADDED + d);
      highest[r] = newHighest;
    }
    sum_product(sums, scores, valueRows + packed + (size_t)first * PADDED, count, seen);
  }
  for (int r = 0; r < count; ++r) {
    const float total = sum_of(totals[r]);
    write_own(y + start + r * pitch, sums + r * PADDED, 1.0f / total);
    logSumExp[get_group_id(1) * queries + firstQuery + r] = (highest[r] + log2(total)) * LN_2;
  }
}

#if HEAD_DIMENSION <= 160  // the width of heads that a gradient passes through

__kernel ONE_ITEM void attention_backward_query(__global storage_t *dq, __global const storage_t *dy,
                                                __global const storage_t *q, __global const float *keyPanels,
                                                __global const float *valuePanels, __global const float *keyRows,
                                                __global const float *logSumExp, __global const float *products,
                                                const int heads, const int queries, const int keys, const float scale,
                                                const int isCausal) {
  const int firstQuery = get_group_id(0) * BLOCK, count = min(BLOCK, queries - firstQuery);
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t start = ((size_t)sample * queries + firstQuery) * pitch + head * HEAD_DIMENSION;
  const size_t packed = (size_t)get_group_id(1) * ROUND_UP(keys) * PADDED;
  const int firstRow = get_group_id(1) * queries + firstQuery;
  CACHE_LINE float own[BLOCK * PADDED], ownGradient[BLOCK * PADDED], sums[BLOCK * PADDED];
  CACHE_LINE float scores[BLOCK * STEP], gradients[BLOCK * STEP];

  read_own(own, q + start, pitch, count);
  read_own(ownGradient, dy + start, pitch, count);
  zero_row(sums, BLOCK * PADDED);
  const int end = isCausal ? min(keys, firstQuery + count) : keys;
  for (int first = 0; first < end; first += STEP) {
    const int seen = min(STEP, end - first), width = ROUND_UP(seen);
    score_product(scores, own, keyPanels + packed + (size_t)first * PADDED, count, seen);
    score_product(gradients, ownGradient, valuePanels + packed + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP, *gradient = gradients + r * STEP;
      const floatv factor = (floatv)(scale * LOG2_E), logSum = (floatv)(-LOG2_E * logSumExp[firstRow + r]);
      const floatv product = (floatv)(products[firstRow + r]);
      for (int j = 0; j < width; j += LANES) {
        const floatv p = exp2_vector(fma(vloadv(0, row + j), factor, logSum));
        vstorev(p * (vloadv(0, gradient + j) - product), 0, row + j);
      }
      const int limit = isCausal ? min(seen, firstQuery + r + 1 - first) : seen;
      for (int j = max(limit, 0); j < width; ++j) row[j] = 0.0f;
    }
    sum_product(sums, scores, keyRows + packed + (size_t)first * PADDED, count, seen);
  }
  for (int r = 0; r < count; ++r) write_own(dq + start + r * pitch, sums + r * PADDED, scale);
}

// sums [rows, PADDED] = or += weightsᵀ, `count` rows of [rows of STEP], times the `count` rows an item owns.
static inline void transposed_sum_product(__global float *sums, const float *weights, const float *own, const int rows,
                                          const int count, const int accumulate) {
  for (int n = 0; n < EVEN; n += TILE_COLUMNS)
    for (int r = 0; r < rows; r += TILE_ROWS)
      transposed_product(sums + r * PADDED + n, PADDED, weights + r, STEP, own + n, PADDED, count, accumulate);
#if PADDED % TILE_COLUMNS != 0
  for (int r = 0; r < rows; r += ODD_ROWS)
    odd_transposed_product(sums + r * PADDED + EVEN, PADDED, weights + r, STEP, own + EVEN, PADDED, count, accumulate);
#endif
}

// dk and dv of the keys from firstKey on; where querySums is given, their part of dq / scale too: added, but for the
// first keys'. q, dy and what was packed of them begin with the head's first row, L and D with its first query.
static inline void backward_keys(__global storage_t *dk, __global storage_t *dv, __global float *querySums,
                                 __global const storage_t *k, __global const storage_t *v,
                                 __global const float *queryPanels, __global const float *queryRows,
                                 __global const float *gradientPanels, __global const float *gradientRows,
                                 __global const float *logSumExp, __global const float *products, const size_t pitch,
                                 const int firstKey, const int queries, const int keys, const float scale,
                                 const int isCausal) {
  const int count = min(BLOCK, keys - firstKey);
  const size_t start = firstKey * pitch;
  CACHE_LINE float ownKey[BLOCK * PADDED], ownValue[BLOCK * PADDED];
  CACHE_LINE float keySums[BLOCK * PADDED], valueSums[BLOCK * PADDED];
  CACHE_LINE float scores[BLOCK * STEP], gradients[BLOCK * STEP];
  CACHE_LINE float logSums[STEP], rowProducts[STEP];

  read_own(ownKey, k + start, pitch, count);
  read_own(ownValue, v + start, pitch, count);
  zero_row(keySums, BLOCK * PADDED);
  zero_row(valueSums, BLOCK * PADDED);
  const int begin = isCausal ? firstKey / TILE_COLUMNS * TILE_COLUMNS : 0;
  for (int first = begin; first < queries; first += STEP) {
    const int seen = min(STEP, queries - first), width = ROUND_UP(seen);
    for (int j = 0; j < width; ++j) {
      logSums[j] = j < seen ? -LOG2_E * logSumExp[first + j] : MASKED;
      rowProducts[j] = j < seen ? products[first + j] : 0.0f;
    }
    score_product(scores, ownKey, queryPanels + (size_t)first * PADDED, count, seen);
    score_product(gradients, ownValue, gradientPanels + (size_t)first * PADDED, count, seen);
    for (int r = 0; r < count; ++r) {
      float *row = scores + r * STEP, *gradient = gradients + r * STEP;
      const floatv factor = (floatv)(scale * LOG2_E);
      for (int j = 0; j < width; j += LANES)
        vstorev(exp2_vector(fma(vloadv(0, row + j), factor, vloadv(0, logSums + j))), 0, row + j);
      if (isCausal)
        for (int j = 0; j < min(width, firstKey + r - first); ++j) row[j] = 0.0f;
      for (int j = 0; j < width; j += LANES)
        vstorev(vloadv(0, row + j) * (vloadv(0, gradient + j) - vloadv(0, rowProducts + j)), 0, gradient + j);
    }
    sum_product(valueSums, scores, gradientRows + (size_t)first * PADDED, count, seen);
    sum_product(keySums, gradients, queryRows + (size_t)first * PADDED, count, seen);
    if (querySums)
      transposed_sum_product(querySums + (size_t)first * PADDED, gradients, ownKey, seen, count, firstKey > 0);
  }
  for (int r = 0; r < count; ++r) {
    write_own(dk + start + r * pitch, keySums + r * PADDED, scale);
    write_own(dv + start + r * pitch, valueSums + r * PADDED, 1.0f);
  }
}

// Groups: (keys / BLOCK rounded up, batch heads).
__kernel ONE_ITEM void attention_backward_key_value(__global storage_t *dk, __global storage_t *dv,
                                                    __global const storage_t *k, __global const storage_t *v,
                                                    __global const float *queryPanels, __global const float *queryRows,
                                                    __global const float *gradientPanels,
                                                    __global const float *gradientRows, __global const float *logSumExp,
                                                    __global const float *products, const int heads, const int queries,
                                                    const int keys, const float scale, const int isCausal) {
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t start = (size_t)sample * keys * pitch + head * HEAD_DIMENSION;
  const size_t packed = (size_t)get_group_id(1) * ROUND_UP(queries) * PADDED, row = (size_t)get_group_id(1) * queries;
  backward_keys(dk + start, dv + start, 0, k + start, v + start, queryPanels + packed, queryRows + packed,
                gradientPanels + packed, gradientRows + packed, logSumExp + row, products + row, pitch,
                get_group_id(0) * BLOCK, queries, keys, scale, isCausal);
}

// All three gradients, a head an item: dq gathers in querySums, [batch heads, queries rounded up + STEP, PADDED], from
// the item's blocks of keys in turn, so that scores are made once: five products instead of seven. For devices with
// fewer units than there are heads. Groups: (1, batch heads).
__kernel ONE_ITEM void attention_backward_head(__global storage_t *dq, __global storage_t *dk, __global storage_t *dv,
                                               __global float *querySums, __global const storage_t *k,
                                               __global const storage_t *v, __global const float *queryPanels,
                                               __global const float *queryRows, __global const float *gradientPanels,
                                               __global const float *gradientRows, __global const float *logSumExp,
                                               __global const float *products, const int heads, const int queries,
                                               const int keys, const float scale, const int isCausal) {
  const int sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  const size_t pitch = (size_t)heads * HEAD_DIMENSION;
  const size_t start = (size_t)sample * keys * pitch + head * HEAD_DIMENSION;
  const size_t packed = (size_t)get_group_id(1) * ROUND_UP(queries) * PADDED, row = (size_t)get_group_id(1) * queries;
  querySums += (size_t)get_group_id(1) * (ROUND_UP(queries) + STEP) * PADDED;
  for (int firstKey = 0; firstKey < keys; firstKey += BLOCK)
    backward_keys(dk + start, dv + start, querySums, k + start, v + start, queryPanels + packed, queryRows + packed,
                  gradientPanels + packed, gradientRows + packed, logSumExp + row, products + row, pitch, firstKey,
                  queries, keys, scale, isCausal);
  dq += (size_t)sample * queries * pitch + head * HEAD_DIMENSION;
  CACHE_LINE float sums[PADDED];
  for (int i = 0; i < queries; ++i) {
    for (int d = 0; d < PADDED; ++d) sums[d] = querySums[(size_t)i * PADDED + d];
    write_own(dq + i * pitch, sums, scale);
  }
}

#endif
