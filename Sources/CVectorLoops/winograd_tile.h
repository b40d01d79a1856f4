// Convolutions of 3x3 by Winograd's F(2x2, 3x3) for one instruction set (Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks"): y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A makes 2x2 pixels of a patch d of 4x4 and the filter g in 16 multiplications, where the
// plain sum takes 36. Summed over inputs, each of the 16 points is a product with frozen weights of its own. Backward's filter is the
// same turned by half a circle, which changes places among the points and nothing else.

// Bᵀ d B of one channel, or of a vector of them: pixels[16] at `at`, each point of the patch `stride` floats behind the one before.
#define PATCH(T, at)                                                                              \
  {                                                                                               \
    T t[4][4];                                                                                    \
    for (int i = 0; i < 4; ++i) {                                                                 \
      const T a = *(const T *)(pixels[4 * i] + at), b = *(const T *)(pixels[4 * i + 1] + at);     \
      const T c = *(const T *)(pixels[4 * i + 2] + at), d = *(const T *)(pixels[4 * i + 3] + at); \
      t[i][0] = a - c, t[i][1] = b + c, t[i][2] = c - b, t[i][3] = b - d;                         \
    }                                                                                             \
    for (int j = 0; j < 4; ++j) {                                                                 \
      *(T *)(patch + (0 + j) * stride) = t[0][j] - t[2][j];                                       \
      *(T *)(patch + (4 + j) * stride) = t[1][j] + t[2][j];                                       \
      *(T *)(patch + (8 + j) * stride) = t[2][j] - t[1][j];                                       \
      *(T *)(patch + (12 + j) * stride) = t[1][j] - t[3][j];                                      \
    }                                                                                             \
  }

TARGET static void NAME(patch)(const float *const *pixels, size_t first, size_t n, float *patch, size_t stride) {
  size_t j = 0;
  for (; j + WIDTH <= n; j += WIDTH, patch += WIDTH) PATCH(NAME(vec), first + j)
  for (; j < n; ++j, ++patch) PATCH(float, first + j)
}
#undef PATCH

// Aᵀ m A: four rows of y, `sums_row` floats apart, of the points' sums, `stride` floats apart; `channels` is a multiple of WIDTH.
TARGET static void NAME(pixels)(float *restrict y, size_t sums_row, const float *restrict m, size_t stride,
                                size_t channels) {
  for (size_t c = 0; c < channels; c += WIDTH) {
    NAME(vec) t[2][4];
    for (int j = 0; j < 4; ++j) {
      const NAME(vec) *at = (const NAME(vec) *)(m + j * stride + c);
      const size_t line = 4 * stride / WIDTH;
      t[0][j] = at[0] + at[line] + at[2 * line];
      t[1][j] = at[line] - at[2 * line] - at[3 * line];
    }
    for (int i = 0; i < 2; ++i) {
      *(NAME(vec) *)(y + 2 * i * sums_row + c) = t[i][0] + t[i][1] + t[i][2];
      *(NAME(vec) *)(y + (2 * i + 1) * sums_row + c) = t[i][1] - t[i][2] - t[i][3];
    }
  }
}

TARGET static void NAME(compute_winograd)(const vector_product *p, const float *x, const void *packed,
                                          const vector_epilogue *epilogue, void *y, vector_type type, size_t first,
                                          size_t count, size_t first_panel, size_t panels, float *scratch) {
  static const size_t turned[winograd_points] = {15, 13, 14, 12, 7, 5, 6, 4, 11, 9, 10, 8, 3, 1, 2, 0};
  const size_t k = p->inputs, sums_row = panels * WIDTH, points_row = count * sums_row;
  float *sums = scratch, *block = sums + winograd_points * points_row, *zeros = block + 3 * WIDTH * NAME(depth);
  float *patches = zeros + zero_floats(p);
  const float *rows[vector_product_places_at_once];
  memset(sums, 0, winograd_points * points_row * sizeof(float));
  memset(zeros, 0, k * sizeof(float));
  for (size_t c = 0; c < k; c += NAME(depth)) {
    const size_t n = smaller(NAME(depth), k - c), patches_row = count * NAME(depth);
    for (size_t i = 0; i < count; ++i) {
      const float *pixels[16];
      gather_patch(p, x, zeros, first + i, pixels);
      NAME(patch)(pixels, c, n, patches + i * NAME(depth), patches_row);
    }
    for (size_t point = 0; point < winograd_points; ++point) {
      for (size_t i = 0; i < count; ++i) rows[i] = patches + point * patches_row + i * NAME(depth);
      NAME(multiply)(p, packed, p->backward ? turned[point] : point, c, n, first_panel, panels, rows, 0, NULL, count,
                     sums + point * points_row, block);
    }
  }
  const size_t channel = first_panel * WIDTH, channels = smaller(sums_row, p->outputs - channel);
  for (size_t i = 0; i < count; ++i) {
    // The patches are done with: four rows of y go in their place.
    NAME(pixels)(patches, sums_row, sums + i * sums_row, points_row, sums_row);
    const tile t = tile_at(p, first + i);
    for (size_t line = 0; line < smaller(2, p->out_height - t.line); ++line)
      finish(p, epilogue, patches + 2 * line * sums_row, sums_row, y, type,
             (t.sample * p->out_height + t.line + line) * p->out_width + t.column, smaller(2, p->out_width - t.column),
             channel, channels);
  }
}
