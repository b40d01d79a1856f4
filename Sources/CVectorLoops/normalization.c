#include "loops.h"

LOOP(void, vector_channel_moments,
     (const void *x, vector_type type, size_t rows, size_t channels, double *mean, double *deviation, float *scratch),
     (x, type, rows, channels, mean, deviation, scratch)) {
  // Sums of differences from the first row: of the size of the deviation however far the mean is from zero.
  float *pivot = scratch, *sum = scratch + channels, *square = scratch + 2 * channels;
  float xs[block_size];
  for (size_t c = 0; c < channels; ++c) sum[c] = square[c] = 0;
  vector_convert(pivot, vector_float32, x, type, channels);
  for (size_t row = 1; row < rows; ++row)
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c);
      const float *u = load(x, type, row * channels + c, n, xs);
      float *restrict s = sum + c, *restrict q = square + c;
      const float *restrict p = pivot + c;
      for (size_t j = 0; j < n; ++j) {
        const float d = u[j] - p[j];
        s[j] += d;
        q[j] += d * d;
      }
    }
  for (size_t c = 0; c < channels; ++c) {
    const double s = sum[c];
    mean[c] = pivot[c] + s / (double)rows;
    deviation[c] = square[c] - s * s / (double)rows;
  }
}

LOOP(void, vector_normalize_channels,
     (void *y, const void *x, vector_type type, size_t rows, size_t channels, const float *mean, const float *factor,
      const float *shift, bool with_silu),
     (y, x, type, rows, channels, mean, factor, shift, with_silu)) {
  float xs[block_size], ys[block_size];
  for (size_t row = 0; row < rows; ++row)
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * channels + c;
      const float *u = load(x, type, at, n, xs);
      float *t = target(y, type, at, ys);
      const float *restrict m = mean + c, *restrict f = factor + c, *restrict b = shift + c;
      if (with_silu)
        for (size_t j = 0; j < n; ++j) t[j] = silu((u[j] - m[j]) * f[j] + b[j]);
      else
        for (size_t j = 0; j < n; ++j) t[j] = (u[j] - m[j]) * f[j] + b[j];
      store(y, type, at, n, t);
    }
}

LOOP(void, vector_normalize_channels_sums,
     (const void *dy, const void *x, vector_type type, size_t rows, size_t channels, const float *mean, const float *r,
      const float *scale, const float *shift, bool with_silu, double *sum, double *product, float *scratch),
     (dy, x, type, rows, channels, mean, r, scale, shift, with_silu, sum, product, scratch)) {
  float *sums = scratch, *products = scratch + channels;
  float xs[block_size], gs[block_size];
  for (size_t c = 0; c < channels; ++c) sums[c] = products[c] = 0;
  for (size_t row = 0; row < rows; ++row)
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * channels + c;
      const float *u = load(x, type, at, n, xs), *d = load(dy, type, at, n, gs);
      float *restrict s = sums + c, *restrict p = products + c;
      if (with_silu)
        for (size_t j = 0; j < n; ++j) {
          const float h = (u[j] - mean[c + j]) * r[c + j];
          const float g = d[j] * silu_slope(h * scale[c + j] + shift[c + j]) * scale[c + j];
          s[j] += g;
          p[j] += g * h;
        }
      else
        for (size_t j = 0; j < n; ++j) {
          const float h = (u[j] - mean[c + j]) * r[c + j], g = d[j] * scale[c + j];
          s[j] += g;
          p[j] += g * h;
        }
    }
  for (size_t c = 0; c < channels; ++c) {
    sum[c] = sums[c];
    product[c] = products[c];
  }
}

LOOP(void, vector_normalize_channels_backward,
     (void *dx, const void *dy, const void *x, const void *residual, vector_type type, size_t rows, size_t channels,
      const float *mean, const float *r, const float *scale, const float *shift, bool with_silu, const float *sum,
      const float *product),
     (dx, dy, x, residual, type, rows, channels, mean, r, scale, shift, with_silu, sum, product)) {
  float xs[block_size], gs[block_size], as[block_size], ts[block_size];
  for (size_t row = 0; row < rows; ++row)
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * channels + c;
      const float *u = load(x, type, at, n, xs), *d = load(dy, type, at, n, gs);
      float *t = target(dx, type, at, ts);
      if (with_silu)
        for (size_t j = 0; j < n; ++j) {
          const float h = (u[j] - mean[c + j]) * r[c + j];
          const float g = d[j] * silu_slope(h * scale[c + j] + shift[c + j]) * scale[c + j];
          t[j] = r[c + j] * (g - sum[c + j] - h * product[c + j]);
        }
      else
        for (size_t j = 0; j < n; ++j) {
          const float h = (u[j] - mean[c + j]) * r[c + j], g = d[j] * scale[c + j];
          t[j] = r[c + j] * (g - sum[c + j] - h * product[c + j]);
        }
      if (residual) {
        const float *a = load(residual, type, at, n, as);
        for (size_t j = 0; j < n; ++j) t[j] += a[j];
      }
      store(dx, type, at, n, t);
    }
}

// Sums over a row run in `lanes` partial sums, so that they fill a vector register whatever its width.
enum { lanes = 32 };

static inline float folded(const float *partial) {
  float sum[lanes];
  memcpy(sum, partial, sizeof sum);
  for (size_t width = lanes / 2; width; width /= 2)
    for (size_t i = 0; i < width; ++i) sum[i] += sum[i + width];
  return sum[0];
}

LOOP(void, vector_layer_norm,
     (void *y, float *mean, float *r, const void *x, vector_type type, size_t rows, size_t channels, const float *scale,
      const float *shift, float epsilon, float *scratch),
     (y, mean, r, x, type, rows, channels, scale, shift, epsilon, scratch)) {
  float ys[block_size];
  for (size_t row = 0; row < rows; ++row) {
    const float *u = load(x, type, row * channels, channels, scratch);
    float partial[lanes] = {0};
    size_t j = 0;
    for (; j + lanes <= channels; j += lanes)
      for (size_t l = 0; l < lanes; ++l) partial[l] += u[j + l];
    for (; j < channels; ++j) partial[j % lanes] += u[j];
    const float m = folded(partial) / (float)channels;
    for (size_t l = 0; l < lanes; ++l) partial[l] = 0;
    for (j = 0; j + lanes <= channels; j += lanes)
      for (size_t l = 0; l < lanes; ++l) partial[l] += (u[j + l] - m) * (u[j + l] - m);
    for (; j < channels; ++j) partial[j % lanes] += (u[j] - m) * (u[j] - m);
    const float k = 1.0f / sqrtf(folded(partial) / (float)channels + epsilon);
    mean[row] = m;
    r[row] = k;
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c);
      float *t = target(y, type, row * channels + c, ys);
      for (size_t i = 0; i < n; ++i) t[i] = (u[c + i] - m) * k * scale[c + i] + shift[c + i];
      store(y, type, row * channels + c, n, t);
    }
  }
}

LOOP(void, vector_layer_norm_backward,
     (void *dx, const void *dy, const void *x, const void *residual, vector_type type, size_t rows, size_t channels,
      const float *scale, const float *mean, const float *r, float *scratch),
     (dx, dy, x, residual, type, rows, channels, scale, mean, r, scratch)) {
  float as[block_size], ts[block_size];
  for (size_t row = 0; row < rows; ++row) {
    const float *u = load(x, type, row * channels, channels, scratch);
    const float *d = load(dy, type, row * channels, channels, scratch + channels);
    const float m = mean[row], k = r[row];
    float sum[lanes] = {0}, product[lanes] = {0};
    size_t j = 0;
    for (; j + lanes <= channels; j += lanes)
      for (size_t l = 0; l < lanes; ++l) {
        const float g = d[j + l] * scale[j + l];
        sum[l] += g;
        product[l] += g * (u[j + l] - m) * k;
      }
    for (; j < channels; ++j) {
      const float g = d[j] * scale[j];
      sum[j % lanes] += g;
      product[j % lanes] += g * (u[j] - m) * k;
    }
    const float s = folded(sum) / (float)channels, p = folded(product) / (float)channels;
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * channels + c;
      float *t = target(dx, type, at, ts);
      for (size_t i = 0; i < n; ++i) t[i] = k * (d[c + i] * scale[c + i] - s - (u[c + i] - m) * k * p);
      if (residual) {
        const float *a = load(residual, type, at, n, as);
        for (size_t i = 0; i < n; ++i) t[i] += a[i];
      }
      store(dx, type, at, n, t);
    }
  }
}
