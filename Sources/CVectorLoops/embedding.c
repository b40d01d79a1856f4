#include "loops.h"

LOOP(void, vector_embed,
     (void *y, vector_type type, const void *row, vector_type row_type, const void *position, vector_type position_type,
      size_t count),
     (y, type, row, row_type, position, position_type, count)) {
  float rs[block_size], ps[block_size], ys[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *r = load(row, row_type, i, n, rs), *p = load(position, position_type, i, n, ps);
    float *t = target(y, type, i, ys);
    for (size_t j = 0; j < n; ++j) t[j] = r[j] + p[j];
    store(y, type, i, n, t);
  }
}

LOOP(void, vector_accumulate, (float *y, const void *x, vector_type type, float scale, size_t count),
     (y, x, type, scale, count)) {
  float xs[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *u = load(x, type, i, n, xs);
    for (size_t j = 0; j < n; ++j) y[i + j] += scale * u[j];
  }
}
