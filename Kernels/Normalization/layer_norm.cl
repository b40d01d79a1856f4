// Layer normalization over the innermost axis, row by row:
//
//   y = xn scale + shift,  xn = (x - mean) r,  r = 1 / sqrt(variance + epsilon)
//   dx = r (g - mean(g) - xn mean(g xn)) + residual,  g = dy scale
//
// x, y, dy, dx, residual [rows, channels]; scale, shift [channels], float; mean, r [rows], float. Backward needs x,
// mean and r.
//
// Groups: one a row; an item takes every GROUP_SIZE-th vector. The row is read once from memory, then from the cache.

#ifndef GROUP_SIZE
#define GROUP_SIZE 64  // items a row
#endif

#if VECTOR == 8
static inline float vector_sum(float8 v) {
  float4 s = v.lo + v.hi;
  return (s.s0 + s.s1) + (s.s2 + s.s3);
}
#else
#define vector_sum(v) (v)
#endif

__kernel GROUP_OF(GROUP_SIZE) void layer_norm_forward(__global storage_t *y, __global float *mean,
                                                      __global float *reciprocal_deviation, __global const storage_t *x,
                                                      __global const float *scale, __global const float *shift,
                                                      int channels, float epsilon) {
  __local float scratch[GROUP_SIZE];
  int row = get_group_id(0);
  int start = row * channels;
  float sum = 0.0f;
  for (int c = get_local_id(0) * VECTOR; c < channels; c += GROUP_SIZE * VECTOR) sum += vector_sum(LOADV(x, start + c));
  float m = group_sum(sum, scratch) / channels;
  sum = 0;
  for (int c = get_local_id(0) * VECTOR; c < channels; c += GROUP_SIZE * VECTOR) {
    vector_t d = LOADV(x, start + c) - m;
    sum += vector_sum(d * d);
  }
  float r = 1.0f / sqrt(group_sum(sum, scratch) / channels + epsilon);
  if (get_local_id(0) == 0) {
    mean[row] = m;
    reciprocal_deviation[row] = r;
  }
  for (int c = get_local_id(0) * VECTOR; c < channels; c += GROUP_SIZE * VECTOR) {
    vector_t z = (LOADV(x, start + c) - m) * r * LOADV_FLOAT(scale, c) + LOADV_FLOAT(shift, c);
    STOREV(y, start + c, z);
  }
}

__kernel GROUP_OF(GROUP_SIZE) void layer_norm_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                             __global const storage_t *x, __global const float *scale,
                                                             __global const float *mean,
                                                             __global const float *reciprocal_deviation,
                                                             __global const storage_t *residual, int channels,
                                                             int has_residual) {
  __local float2 scratch[GROUP_SIZE];
  int row = get_group_id(0);
  int start = row * channels;
  float m = mean[row];
  float r = reciprocal_deviation[row];
  float2 sums = 0;
  for (int c = get_local_id(0) * VECTOR; c < channels; c += GROUP_SIZE * VECTOR) {
    vector_t xn = (LOADV(x, start + c) - m) * r;
    vector_t g = LOADV(dy, start + c) * LOADV_FLOAT(scale, c);
    sums += (float2)(vector_sum(g), vector_sum(g * xn));
  }
  sums = group_sum2(sums, scratch) / channels;
  for (int c = get_local_id(0) * VECTOR; c < channels; c += GROUP_SIZE * VECTOR) {
    vector_t xn = (LOADV(x, start + c) - m) * r;
    vector_t g = LOADV(dy, start + c) * LOADV_FLOAT(scale, c);
    vector_t d = r * (g - sums.s0 - xn * sums.s1);
    if (has_residual) d += LOADV(residual, start + c);
    STOREV(dx, start + c, d);
  }
}
