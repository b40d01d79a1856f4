// Products with packed weights for one instruction set: each_instruction_set.h gives NAME, TARGET and WIDTH.
//
// Weights lie in panels of WIDTH outputs, [panel][tap][input][WIDTH]. A register tile holds 4 rows (pixels) of 3 panels: 12 sums
// in flight hide the multiply-add's latency, and 7 loads feed 12 of them. The loops round it keep a block of weights, 3 panels
// of `depth` inputs, in the first-level cache while all rows pass it, and the rows and their sums in the second.

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

TARGET static void NAME(compute)(const vector_product *p, const float *x, const void *packed,
                                 const vector_epilogue *epilogue, void *y, vector_type type, size_t first, size_t count,
                                 size_t first_panel, size_t panels, float *scratch) {
  static const NAME(kernel) kernels[3][4] = {
      {NAME(kernel_1x1), NAME(kernel_2x1), NAME(kernel_3x1), NAME(kernel_4x1)},
      {NAME(kernel_1x2), NAME(kernel_2x2), NAME(kernel_3x2), NAME(kernel_4x2)},
      {NAME(kernel_1x3), NAME(kernel_2x3), NAME(kernel_3x3), NAME(kernel_4x3)},
  };
  const size_t taps = p->kernel * p->kernel, k = p->inputs, panel_size = taps * k * WIDTH;
  const size_t sums_row = panels * WIDTH;
  float *sums = scratch, *widened = sums + vector_product_rows * sums_row;
  float *zeros = widened + 3 * WIDTH * NAME(depth);
  const float *rows[vector_product_rows];
  memset(sums, 0, count * sums_row * sizeof(float));
  memset(zeros, 0, k * sizeof(float));
  for (size_t tap = 0; tap < taps; ++tap) {
    gather_rows(p, x, zeros, tap, first, count, rows);
    for (size_t c = 0; c < k; c += NAME(depth)) {
      const size_t n = smaller(NAME(depth), k - c);
      for (size_t panel = 0; panel < panels;) {
        // Threes, but never a single panel at the end where twos can be had.
        const size_t left = panels - panel, taken = left == 4 ? 2 : left < 3 ? left : 3;
        const size_t at = (first_panel + panel) * panel_size + (tap * k + c) * WIDTH;
        const float *b = (const float *)packed + at;
        size_t b_panel = panel_size;
        if (p->weights != vector_float32) {
          for (size_t j = 0; j < taken; ++j)
            load(packed, p->weights, at + j * panel_size, n * WIDTH, widened + j * n * WIDTH);
          b = widened;
          b_panel = n * WIDTH;
        }
        for (size_t i = 0; i < count; i += 4) {
          const size_t height = smaller(4, count - i);
          // A tile that meets only padding adds nothing.
          bool outside = true;
          for (size_t r = 0; r < height; ++r) outside = outside && rows[i + r] == zeros;
          if (!outside)
            kernels[taken - 1][height - 1](sums + i * sums_row + panel * WIDTH, sums_row, rows + i, c, b, b_panel, n);
        }
        panel += taken;
      }
    }
  }
  const size_t channel = first_panel * WIDTH;
  finish(p, epilogue, sums, sums_row, y, type, first, count, channel, smaller(sums_row, p->outputs - channel));
}
