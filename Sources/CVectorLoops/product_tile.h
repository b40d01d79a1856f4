// Products with packed weights for one instruction set: each_instruction_set.h gives NAME, TARGET and WIDTH.
//
// Weights lie in panels of WIDTH of forward's outputs, [panel][tap][input][WIDTH]. A register tile holds 4 rows (pixels) of 3
// panels: 12 sums in flight hide the multiply-add's latency, and 7 loads feed 12 of them. The loops round it keep a block of
// weights, 3 panels of `depth` inputs, in the first-level cache while all rows pass it, and the rows and their sums in the second.
// Backward's panels are of forward's inputs: their blocks are transposed on the way into that cache, once for all rows of a call.

typedef float NAME(vec) __attribute__((vector_size(WIDTH * 4), aligned(4)));

enum { NAME(depth) = 2048 / WIDTH };

// sums[ROWS][PANELS * WIDTH] += rows[ROWS][k] b[PANELS][k][WIDTH]; the sum over a block is taken apart and added whole, which
// keeps rounding errors small over long sums.
#define KERNEL(ROWS, PANELS)                                                                                         \
  TARGET static void NAME(kernel_##ROWS##x##PANELS)(float *restrict sums, size_t sums_row, const float *const *rows, \
                                                    size_t offset, const float *restrict b, size_t b_panel,          \
                                                    size_t k) {                                                      \
    NAME(vec) s[ROWS][PANELS];                                                                                       \
    const float *a[ROWS];                                                                                            \
    for (int i = 0; i < ROWS; ++i) {                                                                                 \
      a[i] = rows[i] + offset;                                                                                       \
      for (int j = 0; j < PANELS; ++j) s[i][j] = (NAME(vec)){0};                                                     \
    }                                                                                                                \
    for (size_t step = 0; step < k; ++step) {                                                                        \
      NAME(vec) columns[PANELS];                                                                                     \
      for (int j = 0; j < PANELS; ++j) columns[j] = *(const NAME(vec) *)(b + j * b_panel + step * WIDTH);            \
      for (int i = 0; i < ROWS; ++i)                                                                                 \
        for (int j = 0; j < PANELS; ++j) s[i][j] += a[i][step] * columns[j];                                         \
    }                                                                                                                \
    for (int i = 0; i < ROWS; ++i)                                                                                   \
      for (int j = 0; j < PANELS; ++j) *(NAME(vec) *)(sums + i * sums_row + j * WIDTH) += s[i][j];                   \
  }

#define KERNELS(PANELS) KERNEL(4, PANELS) KERNEL(3, PANELS) KERNEL(2, PANELS) KERNEL(1, PANELS)
KERNELS(3)
KERNELS(2)
KERNELS(1)
#undef KERNELS
#undef KERNEL

typedef void (*NAME(kernel))(float *, size_t, const float *const *, size_t, const float *, size_t, size_t);

// to[WIDTH][WIDTH] = the transpose of from[WIDTH][WIDTH], four by four.
TARGET static void NAME(transpose)(float *restrict to, const float *restrict from) {
  typedef float quad __attribute__((vector_size(16), aligned(4)));
  for (size_t i = 0; i < WIDTH; i += 4)
    for (size_t j = 0; j < WIDTH; j += 4) {
      quad r[4], low[2], high[2];
      for (int l = 0; l < 4; ++l) r[l] = *(const quad *)(from + (i + l) * WIDTH + j);
      for (int l = 0; l < 2; ++l) {
        low[l] = __builtin_shufflevector(r[l], r[l + 2], 0, 4, 1, 5);
        high[l] = __builtin_shufflevector(r[l], r[l + 2], 2, 6, 3, 7);
      }
      float *t = to + j * WIDTH + i;
      *(quad *)t = __builtin_shufflevector(low[0], low[1], 0, 4, 1, 5);
      *(quad *)(t + WIDTH) = __builtin_shufflevector(low[0], low[1], 2, 6, 3, 7);
      *(quad *)(t + 2 * WIDTH) = __builtin_shufflevector(high[0], high[1], 0, 4, 1, 5);
      *(quad *)(t + 3 * WIDTH) = __builtin_shufflevector(high[0], high[1], 2, 6, 3, 7);
    }
}

// Inputs c to c + n of one of backward's panels, at one tap: to[input][WIDTH], up to a multiple of WIDTH inputs.
TARGET static void NAME(transposed_block)(const vector_product *p, const void *packed, size_t tap, size_t panel,
                                          size_t c, size_t n, float *to) {
  const size_t taps = weight_taps(p), first = panel * WIDTH, lines = smaller(WIDTH, p->outputs - first);
  float tile[WIDTH * WIDTH];
  for (size_t i = 0; i < n; i += WIDTH) {
    const size_t at = (((c + i) / WIDTH * taps + tap) * p->outputs + first) * WIDTH;
    const float *from = load(packed, p->weights, at, lines * WIDTH, tile);
    if (lines < WIDTH) {
      memmove(tile, from, lines * WIDTH * sizeof(float));
      memset(tile + lines * WIDTH, 0, (WIDTH - lines) * WIDTH * sizeof(float));
      from = tile;
    }
    NAME(transpose)(to + i * WIDTH, from);
  }
}

// sums[count][panels * WIDTH] += rows[count][n from `offset` on] times the weights of inputs c to c + n at one tap.
TARGET static void NAME(multiply)(const vector_product *p, const void *packed, size_t tap, size_t c, size_t n,
                                  size_t first_panel, size_t panels, const float *const *rows, size_t offset,
                                  const float *zeros, size_t count, float *sums, float *block) {
  static const NAME(kernel) kernels[3][4] = {
      {NAME(kernel_1x1), NAME(kernel_2x1), NAME(kernel_3x1), NAME(kernel_4x1)},
      {NAME(kernel_1x2), NAME(kernel_2x2), NAME(kernel_3x2), NAME(kernel_4x2)},
      {NAME(kernel_1x3), NAME(kernel_2x3), NAME(kernel_3x3), NAME(kernel_4x3)},
  };
  const size_t sums_row = panels * WIDTH, panel_size = weight_taps(p) * p->inputs * WIDTH;
  for (size_t panel = 0; panel < panels;) {
    // Threes, but never a single panel at the end where twos can be had.
    const size_t left = panels - panel, taken = left == 4 ? 2 : left < 3 ? left : 3;
    const size_t at = (first_panel + panel) * panel_size + (tap * p->inputs + c) * WIDTH;
    const float *b = block;
    size_t b_panel = NAME(depth) * WIDTH;
    if (!p->backward && p->weights == vector_float32) {
      b = (const float *)packed + at;
      b_panel = panel_size;
    }
    for (size_t j = 0; b == block && j < taken; ++j) {
      if (p->backward)
        NAME(transposed_block)(p, packed, tap, first_panel + panel + j, c, n, block + j * b_panel);
      else
        load(packed, p->weights, at + j * panel_size, n * WIDTH, block + j * b_panel);
    }
    for (size_t i = 0; i < count; i += 4) {
      const size_t height = smaller(4, count - i);
      // A tile that meets only padding adds nothing.
      bool outside = true;
      for (size_t r = 0; r < height; ++r) outside = outside && rows[i + r] == zeros;
      if (!outside)
        kernels[taken - 1][height - 1](sums + i * sums_row + panel * WIDTH, sums_row, rows + i, offset, b, b_panel, n);
    }
    panel += taken;
  }
}

TARGET static void NAME(compute)(const vector_product *p, const float *x, const void *packed,
                                 const vector_epilogue *epilogue, void *y, vector_type type, size_t first, size_t count,
                                 size_t first_panel, size_t panels, float *scratch) {
  const size_t k = p->inputs, sums_row = panels * WIDTH;
  float *sums = scratch, *block = sums + count * sums_row, *zeros = block + 3 * WIDTH * NAME(depth);
  const float *rows[vector_product_places_at_once];
  memset(sums, 0, count * sums_row * sizeof(float));
  memset(zeros, 0, k * sizeof(float));
  for (size_t tap = 0; tap < weight_taps(p); ++tap) {
    gather_rows(p, x, zeros, tap, first, count, rows);
    for (size_t c = 0; c < k; c += NAME(depth))
      NAME(multiply)(p, packed, tap, c, smaller(NAME(depth), k - c), first_panel, panels, rows, c, zeros, count, sums,
                     block);
  }
  const size_t channel = first_panel * WIDTH;
  finish(p, epilogue, sums, sums_row, y, type, first, count, channel, smaller(sums_row, p->outputs - channel));
}

#include "winograd_tile.h"
