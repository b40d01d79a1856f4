// Attention in tiles: the arithmetic of attention_tile.h, built for each instruction set, and the choice among them.
#include "loops.h"

enum { tile_queries = vector_attention_tile, block_keys = 96 };

#define TILE "attention_tile.h"
#include "each_instruction_set.h"

typedef struct {
  size_t width;
  void (*forward_pack)(const vector_attention *, const void *, const void *, float *);
  void (*forward)(const vector_attention *, const void *, const float *, void *, float *, size_t, size_t, float *);
  void (*backward_pack)(const vector_attention *, const void *, const void *, const void *, const void *, float *);
  void (*backward)(const vector_attention *, vector_attention_segment, const float *, const float *, const float *,
                   float *, float *, float *, float *);
} instruction_set;

#define SET(suffix, width) {width, forward_pack_##suffix, forward_##suffix, backward_pack_##suffix, backward_##suffix}

static const instruction_set *chosen(void) {
  static const instruction_set sets[] = INSTRUCTION_SETS(SET);
  return &sets[chosen_set];
}

static size_t up(size_t x, size_t multiple) { return (x + multiple - 1) / multiple * multiple; }

size_t vector_attention_padded_dimension(const vector_attention *a) { return up(a->dimension, chosen()->width); }

size_t vector_attention_forward_packed(const vector_attention *a) {
  const size_t w = chosen()->width;
  return up(a->keys, w) * a->dimension + a->keys * up(a->dimension, w);
}

size_t vector_attention_forward_scratch(const vector_attention *a) {
  return tile_queries * (a->dimension + up(a->dimension, chosen()->width) + block_keys);
}

size_t vector_attention_backward_packed(const vector_attention *a) {
  const size_t w = chosen()->width, d = a->dimension, padded = up(d, w);
  return 2 * up(a->keys, w) * d + a->keys * padded + 2 * a->queries * (d + padded);
}

size_t vector_attention_backward_scratch(const vector_attention *a) {
  return 2 * tile_queries * block_keys + 2 * block_keys * up(a->dimension, chosen()->width);
}

void vector_attention_forward_pack(const vector_attention *a, const void *k, const void *v, float *packed) {
  chosen()->forward_pack(a, k, v, packed);
}

void vector_attention_forward(const vector_attention *a, const void *q, const float *packed, void *o,
                              float *log_sum_exp, size_t first, size_t count, float *scratch) {
  chosen()->forward(a, q, packed, o, log_sum_exp, first, count, scratch);
}

void vector_attention_backward_pack(const vector_attention *a, const void *q, const void *k, const void *v,
                                    const void *dy, float *packed) {
  chosen()->backward_pack(a, q, k, v, dy, packed);
}

void vector_attention_backward(const vector_attention *a, vector_attention_segment segment, const float *packed,
                               const float *log_sum_exp, const float *products, float *dq, float *dk, float *dv,
                               float *scratch) {
  chosen()->backward(a, segment, packed, log_sum_exp, products, dq, dk, dv, scratch);
}

LOOP(void, vector_attention_row_products, (const vector_attention *a, const void *dy, const void *o, float *products),
     (a, dy, o, products)) {
  const size_t d = a->dimension, stride = a->heads * d;
  float ds[block_size], os[block_size];
  for (size_t row = 0; row < a->queries; ++row) {
    float partial[16] = {0};
    for (size_t i = 0; i < d; i += block_size) {
      const size_t n = smaller(block_size, d - i);
      const float *u = load(dy, a->type, row * stride + i, n, ds), *w = load(o, a->type, row * stride + i, n, os);
      size_t j = 0;
      for (; j + 16 <= n; j += 16)
        for (size_t l = 0; l < 16; ++l) partial[l] += u[j + l] * w[j + l];
      for (; j < n; ++j) partial[j % 16] += u[j] * w[j];
    }
    for (size_t half = 8; half; half /= 2)
      for (size_t l = 0; l < half; ++l) partial[l] += partial[l + half];
    products[row] = partial[0];
  }
}

LOOP(void, vector_attention_gather,
     (const vector_attention *a, void *gradient, const float *partial, size_t stride, size_t count, size_t rows,
      float factor),
     (a, gradient, partial, stride, count, rows, factor)) {
  const size_t d = a->dimension, padded = vector_attention_padded_dimension(a);
  float sums[block_size];
  for (size_t row = 0; row < rows; ++row)
    for (size_t i = 0; i < d; i += block_size) {
      const size_t n = smaller(block_size, d - i), at = row * a->heads * d + i;
      const float *p = partial + row * padded + i;
      float *t = target(gradient, a->type, at, sums);
      for (size_t j = 0; j < n; ++j) t[j] = p[j];
      for (size_t s = 1; s < count; ++s)
        for (size_t j = 0; j < n; ++j) t[j] += p[s * stride + j];
      for (size_t j = 0; j < n; ++j) t[j] *= factor;
      store(gradient, a->type, at, n, t);
    }
}
