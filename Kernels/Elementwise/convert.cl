// y = x, from float32 into storage and back, for tensors on their way in and out.
//
// x and y are [count]. One item takes four neighbours; the last takes what is left.

__kernel void convert_from_float(__global storage_t *y, __global const float *x, int offset, int count) {
  int i = 4 * get_global_id(0);
  if (i + 4 <= count) {
    STORE4(y, offset + i, *(__global const float4 *)(x + i));
  } else {
    for (; i < count; ++i) STORE(y, offset + i, x[i]);
  }
}

__kernel void convert_to_float(__global float *y, __global const storage_t *x, int offset, int count) {
  int i = 4 * get_global_id(0);
  if (i + 4 <= count) {
    *(__global float4 *)(y + i) = LOAD4(x, offset + i);
  } else {
    for (; i < count; ++i) y[i] = LOAD(x, offset + i);
  }
}
