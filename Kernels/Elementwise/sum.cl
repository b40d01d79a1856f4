// Sums of two tensors:
//
//   add_tensors   y = a + b                     y, a, b [count]
//   weighted_sum  y[s, i] = p[s] x[s, i] + q[s] z[s, i]
//
// y [samples, size]; x, z the same, float, or as y is for weighted_sum_stored; weights = (p, q) [2, samples], float.
//
// An item of add_tensors takes eight neighbours; the last takes what is left, one by one.

__kernel GROUP_OF(256) void add_tensors(__global storage_t *y, __global const storage_t *a, __global const storage_t *b,
                                        int count) {
  int i = 8 * get_global_id(0);
  if (i + 8 <= count) {
    STORE8(y, i, LOAD8(a, i) + LOAD8(b, i));
  } else {
    for (; i < count; ++i) STORE(y, i, LOAD(a, i) + LOAD(b, i));
  }
}

// Latents are small: an item takes one element.
__kernel GROUP_OF(256) void weighted_sum(__global storage_t *y, __global const float *x, __global const float *z,
                                         __global const float *weights, int samples, int size) {
  int i = get_global_id(0);
  if (i >= samples * size) return;
  int sample = i / size;
  STORE(y, i, weights[sample] * x[i] + weights[samples + sample] * z[i]);
}

__kernel GROUP_OF(256) void weighted_sum_stored(__global storage_t *y, __global const storage_t *x,
                                                __global const storage_t *z, __global const float *weights, int samples,
                                                int size) {
  int i = get_global_id(0);
  if (i >= samples * size) return;
  int sample = i / size;
  STORE(y, i, weights[sample] * LOAD(x, i) + weights[samples + sample] * LOAD(z, i));
}
