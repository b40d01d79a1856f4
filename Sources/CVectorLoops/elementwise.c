#include "loops.h"

void vector_convert(void *y, vector_type y_type, const void *x, vector_type x_type, size_t count) {
  if (x_type == y_type) {
    memcpy(y, x, count * (x_type == vector_float32 ? 4 : 2));
    return;
  }
  if (x_type == vector_float32) return store(y, y_type, 0, count, x);
  if (y_type == vector_float32) {
    load(x, x_type, 0, count, y);
    return;
  }
  float scratch[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    store(y, y_type, i, n, load(x, x_type, i, n, scratch));
  }
}

LOOP(void, vector_add, (void *y, const void *a, const void *b, vector_type type, size_t count),
     (y, a, b, type, count)) {
  float as[block_size], bs[block_size], ys[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *u = load(a, type, i, n, as), *v = load(b, type, i, n, bs);
    float *t = target(y, type, i, ys);
    for (size_t j = 0; j < n; ++j) t[j] = u[j] + v[j];
    store(y, type, i, n, t);
  }
}

LOOP(void, vector_add4,
     (void *y, const void *a, const void *b, const void *c, const void *d, vector_type type, size_t count),
     (y, a, b, c, d, type, count)) {
  static const float zeros[block_size];
  float as[block_size], bs[block_size], cs[block_size], ds[block_size], ys[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *p = load(a, type, i, n, as), *q = b ? load(b, type, i, n, bs) : zeros;
    const float *r = c ? load(c, type, i, n, cs) : zeros, *s = d ? load(d, type, i, n, ds) : zeros;
    float *t = target(y, type, i, ys);
    for (size_t j = 0; j < n; ++j) t[j] = (p[j] + q[j]) + (r[j] + s[j]);
    store(y, type, i, n, t);
  }
}

LOOP(void, vector_weighted_sum,
     (void *y, vector_type type, const float *x, const float *z, float a, float b, size_t count),
     (y, type, x, z, a, b, count)) {
  float ys[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    float *t = target(y, type, i, ys);
    for (size_t j = 0; j < n; ++j) t[j] = a * x[i + j] + b * z[i + j];
    store(y, type, i, n, t);
  }
}

// u = sqrt(2/π) (x + 0.044715 x³), doubled: 1/2 (1 + tanh u) is the sigmoid of 2u.
static inline float tanh_argument(float x) { return 1.5957691f * x * (1.0f + 0.044715f * x * x); }

LOOP(void, vector_activate, (vector_activation f, void *y, const void *x, vector_type type, size_t count),
     (f, y, x, type, count)) {
  float xs[block_size], ys[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *u = load(x, type, i, n, xs);
    float *t = target(y, type, i, ys);
    switch (f) {
      case vector_silu:
        for (size_t j = 0; j < n; ++j) t[j] = silu(u[j]);
        break;
      case vector_gelu:
        for (size_t j = 0; j < n; ++j) t[j] = gelu(u[j]);
        break;
      case vector_gelu_tanh:
        for (size_t j = 0; j < n; ++j) t[j] = u[j] * sigmoid(tanh_argument(u[j]));
        break;
      case vector_quick_gelu:
        for (size_t j = 0; j < n; ++j) t[j] = u[j] * sigmoid(1.702f * u[j]);
        break;
    }
    store(y, type, i, n, t);
  }
}

LOOP(void, vector_activate_backward,
     (vector_activation f, void *dx, const void *dy, const void *x, vector_type type, size_t count),
     (f, dx, dy, x, type, count)) {
  float xs[block_size], gs[block_size], ts[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *u = load(x, type, i, n, xs), *g = load(dy, type, i, n, gs);
    float *t = target(dx, type, i, ts);
    switch (f) {
      case vector_silu:
        for (size_t j = 0; j < n; ++j) t[j] = g[j] * silu_slope(u[j]);
        break;
      case vector_gelu:
        for (size_t j = 0; j < n; ++j) t[j] = g[j] * gelu_slope(u[j]);
        break;
      case vector_gelu_tanh:
        for (size_t j = 0; j < n; ++j) {
          float slope;
          const float s = sigmoid_slope(tanh_argument(u[j]), &slope);
          t[j] = g[j] * (s + u[j] * slope * 1.5957691f * (1.0f + 3 * 0.044715f * u[j] * u[j]));
        }
        break;
      case vector_quick_gelu:
        for (size_t j = 0; j < n; ++j) {
          float slope;
          const float s = sigmoid_slope(1.702f * u[j], &slope);
          t[j] = g[j] * (s + 1.702f * u[j] * slope);
        }
        break;
    }
    store(dx, type, i, n, t);
  }
}

LOOP(void, vector_geglu, (void *y, const void *x, vector_type type, size_t rows, size_t channels),
     (y, x, type, rows, channels)) {
  float values[block_size], gates[block_size], ys[block_size];
  for (size_t row = 0; row < rows; ++row)
    for (size_t i = 0; i < channels; i += block_size) {
      const size_t n = smaller(block_size, channels - i);
      const float *v = load(x, type, 2 * row * channels + i, n, values);
      const float *g = load(x, type, (2 * row + 1) * channels + i, n, gates);
      float *t = target(y, type, row * channels + i, ys);
      for (size_t j = 0; j < n; ++j) t[j] = v[j] * gelu(g[j]);
      store(y, type, row * channels + i, n, t);
    }
}

LOOP(void, vector_geglu_backward,
     (void *dx, const void *dy, const void *x, vector_type type, size_t rows, size_t channels),
     (dx, dy, x, type, rows, channels)) {
  float values[block_size], gates[block_size], gradients[block_size], dvs[block_size], dgs[block_size];
  for (size_t row = 0; row < rows; ++row)
    for (size_t i = 0; i < channels; i += block_size) {
      const size_t n = smaller(block_size, channels - i);
      const size_t value = 2 * row * channels + i, gate = value + channels;
      const float *v = load(x, type, value, n, values), *g = load(x, type, gate, n, gates);
      const float *d = load(dy, type, row * channels + i, n, gradients);
      float *dv = target(dx, type, value, dvs), *dg = target(dx, type, gate, dgs);
      for (size_t j = 0; j < n; ++j) {
        float density;
        const float p = normal_distribution(g[j], &density);
        dv[j] = d[j] * g[j] * p;
        dg[j] = d[j] * v[j] * (p + g[j] * density * 0.39894228f);
      }
      store(dx, type, value, n, dv);
      store(dx, type, gate, n, dg);
    }
}

LOOP(double, vector_prediction_loss,
     (const void *prediction, vector_type type, const float *target, const float *weights, size_t channels, float huber,
      size_t count),
     (prediction, type, target, weights, channels, huber, count)) {
  float scratch[block_size];
  const double c = huber;
  double sum = 0;
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *p = load(prediction, type, i, n, scratch);
    for (size_t j = 0; j < n; ++j) {
      const double d = (double)p[j] - target[i + j];
      // Without the difference, which loses digits where d is small.
      const double error = c > 0 ? 2 * c * d * d / (sqrt(d * d + c * c) + c) : d * d;
      sum += weights ? weights[(i + j) / channels] * error : error;
    }
  }
  return sum;
}

LOOP(void, vector_prediction_loss_backward,
     (void *dx, const void *prediction, vector_type type, const float *goal, const float *weights, size_t channels,
      float huber, float scale, size_t count),
     (dx, prediction, type, goal, weights, channels, huber, scale, count)) {
  float ps[block_size], ts[block_size];
  for (size_t i = 0; i < count; i += block_size) {
    const size_t n = smaller(block_size, count - i);
    const float *p = load(prediction, type, i, n, ps);
    float *t = target(dx, type, i, ts);
    for (size_t j = 0; j < n; ++j) {
      const float d = p[j] - goal[i + j];
      const float slope = huber > 0 ? d * (huber / sqrtf(d * d + huber * huber)) : d;
      t[j] = (weights ? scale * weights[(i + j) / channels] : scale) * slope;
    }
    store(dx, type, i, n, t);
  }
}
