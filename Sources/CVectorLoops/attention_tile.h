// Attention's tiles for one instruction set: each_instruction_set.h gives NAME, TARGET and WIDTH.
//
// Every product is c[m][n] = a[m][k] b[k][n] with b in panels of WIDTH columns: b[panel][k][WIDTH]. Tiles of a are read number by
// number, those of b a vector at a time, and a register tile of 4 rows and up to 3 panels of c takes the sums: 12 sums in
// flight hide the multiply-add's latency, and 7 loads feed 12 of them.

typedef float NAME(vec) __attribute__((vector_size(WIDTH * 4), aligned(4)));

#define KERNEL(ROWS, PANELS)                                                                                  \
  TARGET static void NAME(kernel_##ROWS##x##PANELS)(float *restrict c, size_t c_row, const float *restrict a, \
                                                    size_t a_row, size_t a_step, const float *restrict b,     \
                                                    size_t b_panel, size_t k, bool adds) {                    \
    NAME(vec) sums[ROWS][PANELS];                                                                             \
    for (int i = 0; i < ROWS; ++i)                                                                            \
      for (int j = 0; j < PANELS; ++j)                                                                        \
        sums[i][j] = adds ? *(const NAME(vec) *)(c + i * c_row + j * WIDTH) : (NAME(vec)){0};                 \
    for (size_t step = 0; step < k; ++step, a += a_step, b += WIDTH) {                                        \
      NAME(vec) columns[PANELS];                                                                              \
      for (int j = 0; j < PANELS; ++j) columns[j] = *(const NAME(vec) *)(b + j * b_panel);                    \
      for (int i = 0; i < ROWS; ++i)                                                                          \
        for (int j = 0; j < PANELS; ++j) sums[i][j] += a[i * a_row] * columns[j];                             \
    }                                                                                                         \
    for (int i = 0; i < ROWS; ++i)                                                                            \
      for (int j = 0; j < PANELS; ++j) *(NAME(vec) *)(c + i * c_row + j * WIDTH) = sums[i][j];                \
  }

KERNEL(4, 3)
KERNEL(4, 2)
KERNEL(4, 1)
KERNEL(1, 3)
KERNEL(1, 2)
KERNEL(1, 1)
#undef KERNEL

// c[rows][panels * WIDTH] = a b, or += where it adds; a[i][s] is at a[i * a_row + s * a_step].
TARGET static void NAME(product)(float *c, size_t c_row, size_t rows, const float *a, size_t a_row, size_t a_step,
                                 const float *b, size_t b_panel, size_t panels, size_t k, bool adds) {
  for (size_t panel = 0; panel < panels;) {
    // Threes, but never a single panel at the end where twos can be had.
    const size_t left = panels - panel, taken = left == 4 ? 2 : left < 3 ? left : 3;
    const float *bp = b + panel * b_panel;
    float *cp = c + panel * WIDTH;
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) {
      if (taken == 3)
        NAME(kernel_4x3)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
      else if (taken == 2)
        NAME(kernel_4x2)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
      else
        NAME(kernel_4x1)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
    }
    for (; i < rows; ++i) {
      if (taken == 3)
        NAME(kernel_1x3)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
      else if (taken == 2)
        NAME(kernel_1x2)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
      else
        NAME(kernel_1x1)(cp + i * c_row, c_row, a + i * a_row, a_row, a_step, bp, b_panel, k, adds);
    }
    panel += taken;
  }
}

static size_t NAME(up)(size_t x) { return (x + WIDTH - 1) / WIDTH * WIDTH; }

// Rows of x as rows of b: panels over the dimension, [panel][row][WIDTH], zeros behind the last column.
TARGET static void NAME(pack_rows)(const vector_attention *a, const void *x, size_t rows, float *packed) {
  const size_t d = a->dimension, stride = a->heads * d;
  float scratch[block_size];
  for (size_t row = 0; row < rows; ++row) {
    const float *values = load(x, a->type, row * stride, d, scratch);
    for (size_t c = 0; c < d; c += WIDTH) {
      float *to = packed + c * rows + row * WIDTH;
      if (d - c >= WIDTH)
        memcpy(to, values + c, WIDTH * sizeof(float));
      else
        for (size_t l = 0; l < WIDTH; ++l) to[l] = c + l < d ? values[c + l] : 0;
    }
  }
}

// Rows of x as columns of b: panels over the rows, [panel][d][WIDTH], zeros behind the last row.
TARGET static void NAME(pack_columns)(const vector_attention *a, const void *x, size_t rows, float *packed) {
  const size_t d = a->dimension, stride = a->heads * d;
  float scratch[block_size];
  for (size_t row = 0; row < NAME(up)(rows); ++row) {
    float *to = packed + row / WIDTH * WIDTH * d + row % WIDTH;
    if (row < rows) {
      const float *values = load(x, a->type, row * stride, d, scratch);
      for (size_t c = 0; c < d; ++c) to[c * WIDTH] = values[c];
    } else {
      for (size_t c = 0; c < d; ++c) to[c * WIDTH] = 0;
    }
  }
}

// MARK: forward

TARGET static void NAME(forward_pack)(const vector_attention *a, const void *k, const void *v, float *packed) {
  NAME(pack_columns)(a, k, a->keys, packed);
  NAME(pack_rows)(a, v, a->keys, packed + NAME(up)(a->keys) * a->dimension);
}

// One row of a block: p = exp(s - maximum) in place of s, and the sum of p. `maximum` and `sum` run over the blocks so far; the
// result is what earlier blocks' sums are to be multiplied with.
TARGET static float NAME(softmax_row)(float *restrict s, size_t count, float *maximum, float *sum) {
  enum { lanes = 32 };
  float partial[lanes];
  size_t j = 0;
  for (size_t l = 0; l < lanes; ++l) partial[l] = -INFINITY;
  for (; j + lanes <= count; j += lanes)
    for (size_t l = 0; l < lanes; ++l) partial[l] = s[j + l] > partial[l] ? s[j + l] : partial[l];
  for (; j < count; ++j) partial[0] = s[j] > partial[0] ? s[j] : partial[0];
  for (size_t half = lanes / 2; half; half /= 2)
    for (size_t l = 0; l < half; ++l) partial[l] = partial[l + half] > partial[l] ? partial[l + half] : partial[l];
  const float before = *maximum, m = partial[0] > before ? partial[0] : before;
  // A row of minus infinities alone, or of NaN, has no maximum to take off.
  const float off = m == -INFINITY ? 0 : m;
  for (size_t l = 0; l < lanes; ++l) partial[l] = 0;
  for (j = 0; j + lanes <= count; j += lanes)
    for (size_t l = 0; l < lanes; ++l) {
      const float p = exponential(s[j + l] - off);
      s[j + l] = p;
      partial[l] += p;
    }
  for (; j < count; ++j) {
    s[j] = exponential(s[j] - off);
    partial[j % lanes] += s[j];
  }
  for (size_t half = lanes / 2; half; half /= 2)
    for (size_t l = 0; l < half; ++l) partial[l] += partial[l + half];
  const float factor = before == -INFINITY ? 0 : exponential(before - off);
  *maximum = m;
  *sum = *sum * factor + partial[0];
  return factor;
}

TARGET static void NAME(forward)(const vector_attention *a, const void *q, const float *packed, void *o,
                                 float *log_sum_exp, size_t first, size_t count, float *scratch) {
  const size_t d = a->dimension, padded = NAME(up)(d), keys = a->keys, stride = a->heads * d;
  const float *kp = packed, *vp = packed + NAME(up)(keys) * d;
  float *query = scratch, *output = query + tile_queries * d, *s = output + tile_queries * padded;
  float maximum[tile_queries], sum[tile_queries];
  for (size_t i = 0; i < count; ++i) {
    const float *values = load(q, a->type, (first + i) * stride, d, query + i * d);
    for (size_t c = 0; c < d; ++c) query[i * d + c] = values[c] * a->scale;
    maximum[i] = -INFINITY;
    sum[i] = 0;
  }
  memset(output, 0, count * padded * sizeof(float));
  const size_t end = a->causal ? smaller(keys, first + count) : keys;
  for (size_t key = 0; key < end; key += block_keys) {
    const size_t n = smaller(block_keys, end - key);
    NAME(product)(s, block_keys, count, query, d, 1, kp + key * d, d * WIDTH, NAME(up)(n) / WIDTH, d, false);
    for (size_t i = 0; i < count; ++i) {
      float *row = s + i * block_keys;
      if (a->causal)
        for (size_t j = first + i >= key ? first + i - key + 1 : 0; j < n; ++j) row[j] = -INFINITY;
      const float factor = NAME(softmax_row)(row, n, &maximum[i], &sum[i]);
      if (factor != 1)
        for (size_t c = 0; c < padded; ++c) output[i * padded + c] *= factor;
    }
    const float *values = vp + key * WIDTH;
    if (a->causal && key + n > first + 1) {
      // Row by row up to the diagonal: nothing behind it, not even NaN, may reach the row.
      for (size_t i = 0; i < count; ++i) {
        const size_t seen = first + i >= key ? smaller(n, first + i - key + 1) : 0;
        NAME(product)(output + i * padded, padded, 1, s + i * block_keys, block_keys, 1, values, keys * WIDTH,
                      padded / WIDTH, seen, true);
      }
    } else {
      NAME(product)(output, padded, count, s, block_keys, 1, values, keys * WIDTH, padded / WIDTH, n, true);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const float r = 1.0f / sum[i];
    for (size_t c = 0; c < d; ++c) output[i * padded + c] *= r;
    vector_convert((char *)o + (first + i) * stride * (a->type == vector_float32 ? 4 : 2), a->type, output + i * padded,
                   vector_float32, d);
    log_sum_exp[first + i] = maximum[i] + logf(sum[i]);
  }
}

// MARK: backward

// Packed for backward, one after the other: k and v as columns, k as rows, q and dy as they are and as rows.
typedef struct {
  const float *key_columns, *value_columns, *key_rows, *query, *gradient, *query_rows, *gradient_rows;
} NAME(operands);

TARGET static NAME(operands) NAME(operands_in)(const vector_attention *a, const float *packed) {
  const size_t d = a->dimension, padded = NAME(up)(d), columns = NAME(up)(a->keys) * d;
  NAME(operands) o;
  o.key_columns = packed;
  o.value_columns = o.key_columns + columns;
  o.key_rows = o.value_columns + columns;
  o.query = o.key_rows + a->keys * padded;
  o.gradient = o.query + a->queries * d;
  o.query_rows = o.gradient + a->queries * d;
  o.gradient_rows = o.query_rows + a->queries * padded;
  return o;
}

TARGET static void NAME(backward_pack)(const vector_attention *a, const void *q, const void *k, const void *v,
                                       const void *dy, float *packed) {
  const NAME(operands) o = NAME(operands_in)(a, packed);
  const size_t d = a->dimension, stride = a->heads * d, size = a->type == vector_float32 ? 4 : 2;
  NAME(pack_columns)(a, k, a->keys, (float *)o.key_columns);
  NAME(pack_columns)(a, v, a->keys, (float *)o.value_columns);
  NAME(pack_rows)(a, k, a->keys, (float *)o.key_rows);
  for (size_t row = 0; row < a->queries; ++row) {
    const size_t at = row * stride * size;
    vector_convert((float *)o.query + row * d, vector_float32, (const char *)q + at, a->type, d);
    vector_convert((float *)o.gradient + row * d, vector_float32, (const char *)dy + at, a->type, d);
  }
  NAME(pack_rows)(a, q, a->queries, (float *)o.query_rows);
  NAME(pack_rows)(a, dy, a->queries, (float *)o.gradient_rows);
}

TARGET static void NAME(backward)(const vector_attention *a, vector_attention_segment segment, const float *packed,
                                  const float *log_sum_exp, const float *products, float *dq, float *dk, float *dv,
                                  float *scratch) {
  const NAME(operands) o = NAME(operands_in)(a, packed);
  const size_t d = a->dimension, padded = NAME(up)(d), panels = padded / WIDTH;
  float *p = scratch, *ds = p + tile_queries * block_keys;
  const size_t key_end = segment.first_key + segment.key_count;
  const size_t query_end = segment.first_query + segment.query_count;
  if (dq) memset(dq + segment.first_query * padded, 0, segment.query_count * padded * sizeof(float));
  for (size_t key = segment.first_key; key < key_end; key += block_keys) {
    const size_t n = smaller(block_keys, key_end - key);
    if (dk) memset(dk + key * padded, 0, n * padded * sizeof(float));
    if (dv) memset(dv + key * padded, 0, n * padded * sizeof(float));
    for (size_t query = segment.first_query; query < query_end; query += tile_queries) {
      const size_t m = smaller(tile_queries, query_end - query);
      if (a->causal && query + m <= key) continue;
      NAME(product)(p, block_keys, m, o.query + query * d, d, 1, o.key_columns + key * d, d * WIDTH,
                    NAME(up)(n) / WIDTH, d, false);
      NAME(product)(ds, block_keys, m, o.gradient + query * d, d, 1, o.value_columns + key * d, d * WIDTH,
                    NAME(up)(n) / WIDTH, d, false);
      for (size_t i = 0; i < m; ++i) {
        float *restrict pr = p + i * block_keys, *restrict dr = ds + i * block_keys;
        const float l = log_sum_exp[query + i], product = products[query + i];
        size_t seen = n;
        if (a->causal) seen = query + i < key ? 0 : smaller(n, query + i - key + 1);
        for (size_t j = 0; j < seen; ++j) {
          pr[j] = exponential(pr[j] * a->scale - l);
          dr[j] = pr[j] * (dr[j] - product);
        }
        for (size_t j = seen; j < n; ++j) pr[j] = dr[j] = 0;
      }
      const float *key_rows = o.key_rows + key * WIDTH;
      const float *query_rows = o.query_rows + query * WIDTH, *gradient_rows = o.gradient_rows + query * WIDTH;
      const size_t key_panel = a->keys * WIDTH, query_panel = a->queries * WIDTH;
      if (a->causal && key + n > query + 1) {
        // Row by row up to the diagonal, as in forward.
        for (size_t i = 0; dq && i < m; ++i) {
          const size_t seen = query + i < key ? 0 : smaller(n, query + i - key + 1);
          NAME(product)(dq + (query + i) * padded, padded, 1, ds + i * block_keys, block_keys, 1, key_rows, key_panel,
                        panels, seen, true);
        }
        for (size_t j = 0; dk && j < n; ++j) {
          const size_t hidden = key + j > query ? smaller(m, key + j - query) : 0;
          const size_t at = hidden * block_keys + j;
          NAME(product)(dv + (key + j) * padded, padded, 1, p + at, 1, block_keys, gradient_rows + hidden * WIDTH,
                        query_panel, panels, m - hidden, true);
          NAME(product)(dk + (key + j) * padded, padded, 1, ds + at, 1, block_keys, query_rows + hidden * WIDTH,
                        query_panel, panels, m - hidden, true);
        }
        continue;
      }
      if (dq) NAME(product)(dq + query * padded, padded, m, ds, block_keys, 1, key_rows, key_panel, panels, n, true);
      if (dk) {
        NAME(product)(dv + key * padded, padded, n, p, 1, block_keys, gradient_rows, query_panel, panels, m, true);
        NAME(product)(dk + key * padded, padded, n, ds, 1, block_keys, query_rows, query_panel, panels, m, true);
      }
    }
  }
}
