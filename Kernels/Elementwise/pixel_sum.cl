// y[i, c] = sum over the pixels p of x[i, p, c]: the gradient of what is added at every pixel. Backward needs nothing.
//
// x [batch, pixels, channels]; y [batch, channels]; parts [batch, slices, channels], float.
//
// Summed in two stages in an order that depends on the shape alone: `partial` over a slice's pixels, `total` over the
// slices. An item takes VECTOR neighbouring channels.

// Items: one a vector of parts. A slice is `slice_pixels` pixels, the last what is left.
__kernel GROUP_OF(256) void pixel_sum_partial(__global float *parts, __global const storage_t *x, int batch, int pixels,
                                              int vectors, int slices, int slice_pixels) {
  int i = get_global_id(0);
  if (i >= batch * slices * vectors) return;
  int slice = i / vectors % slices;
  int sample = i / vectors / slices;
  __global const storage_t *column = x + (sample * pixels * vectors + i % vectors) * VECTOR;
  int end = min(pixels, (slice + 1) * slice_pixels);
  vector_t sum = 0;
  for (int pixel = slice * slice_pixels; pixel < end; ++pixel) sum += LOADV(column, pixel * vectors * VECTOR);
  STOREV_FLOAT(parts, i * VECTOR, sum);
}

// Items: one an element of y.
__kernel GROUP_OF(256) void pixel_sum_total(__global storage_t *y, __global const float *parts, int batch, int channels,
                                            int slices) {
  int i = get_global_id(0);
  if (i >= batch * channels) return;
  __global const float *column = parts + i / channels * slices * channels + i % channels;
  float sum = 0.0f;
  for (int slice = 0; slice < slices; ++slice) sum += column[slice * channels];
  STORE(y, i, sum);
}
