// Group normalization over NHWC, with SiLU behind it where ACTIVATION is 1:
//
//   y = activation(xn scale + shift),  xn = (x - mean) r,  r = 1 / sqrt(variance + epsilon)
//   dx = r (g - mean(g) - xn mean(g xn)) + residual,  g = dy activation'(xn scale + shift) scale
//
// x, y, dy, dx, residual [batch, pixels, channels]; scale, shift [channels], float; mean, r [batch, groups], float.
// Backward needs x, mean and r.
//
// A group's statistics are taken in two stages, so that one picture feeds a whole GPU. An item owns VECTOR neighbouring
// channels (a vector) and every so many pixels of a slice; a work-group is GROUP_SIZE / row_vectors rows of
// `row_vectors` items. Its sums per channel are merged over all slices and over the channels of a group by one more
// work-group each. Groups: (vectors / row_vectors rounded up, slices, batch), and (groups, batch) for the merges.
// Deviations are summed about the running mean, never as a difference of squares.

#ifndef GROUP_SIZE
#define GROUP_SIZE 256  // items a work-group has in the passes over x
#endif
#ifndef MERGE_SIZE
#define MERGE_SIZE 64  // items that merge the slices of one group
#endif

// Where an item stands: its first channel, its first pixel, one past its slice's last, and the step between.
typedef struct {
  int item_row;  // among the work-group's rows; -1 for items left over
  int vector;    // among its row's
  int channel;
  int pixel;
  int end;
  int step;
} Place;

static inline Place place(int pixels, int channels, int row_vectors, int slice_pixels) {
  Place p;
  int item = get_local_id(0);
  p.step = GROUP_SIZE / row_vectors;
  p.vector = item % row_vectors;
  p.item_row = item / row_vectors;
  p.channel = (get_group_id(0) * row_vectors + p.vector) * VECTOR;
  if (p.item_row >= p.step || p.channel >= channels) p.item_row = -1;
  int first = get_group_id(1) * slice_pixels;
  p.pixel = first + p.item_row;
  p.end = min(first + slice_pixels, pixels);
  return p;
}

// Reads one float a channel of the item's vector from an array with one entry a group.
static inline vector_t read_groups(__global const float *values, int channel, int group_channels) {
#if VECTOR == 8
  return (float8)(values[channel / group_channels], values[(channel + 1) / group_channels],
                  values[(channel + 2) / group_channels], values[(channel + 3) / group_channels],
                  values[(channel + 4) / group_channels], values[(channel + 5) / group_channels],
                  values[(channel + 6) / group_channels], values[(channel + 7) / group_channels]);
#else
  return values[channel / group_channels];
#endif
}

// How many pixels of `count` the row `item_row` of `step` rows sees.
static inline int pixels_of_row(int count, int item_row, int step) {
  return count > item_row ? (count - item_row + step - 1) / step : 0;
}

// partial_mean, partial_deviation [batch, slices, channels]: a channel's mean over the slice, and its squared
// deviations' sum.
__kernel GROUP_OF(GROUP_SIZE) void group_norm_statistics(__global float *partial_mean,
                                                         __global float *partial_deviation, __global const storage_t *x,
                                                         int pixels, int channels, int row_vectors, int slice_pixels) {
  __local float means[GROUP_SIZE * VECTOR];
  __local float deviations[GROUP_SIZE * VECTOR];
  Place p = place(pixels, channels, row_vectors, slice_pixels);
  int item = get_local_id(0);
  if (p.item_row >= 0) {
    // Sums about the first value: what is lost to rounding is in proportion to the spread, not to the mean.
    __global const storage_t *row = x + get_group_id(2) * pixels * channels + p.channel;
    vector_t base = 0, sum = 0, squares = 0;
    if (p.pixel < p.end) base = LOADV(row, p.pixel * channels);
    for (int pixel = p.pixel; pixel < p.end; pixel += p.step) {
      vector_t d = LOADV(row, pixel * channels) - base;
      sum += d;
      squares += d * d;
    }
    float count = max(pixels_of_row(p.end - get_group_id(1) * slice_pixels, p.item_row, p.step), 1);
    vector_t mean = sum / count;
    STOREV_LOCAL(means, item * VECTOR, base + mean);
    STOREV_LOCAL(deviations, item * VECTOR, squares - sum * mean);
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  if (p.item_row == 0) {
    int total = p.end - p.pixel;
    vector_t mean = 0, deviation = 0;
    for (int r = 0; r < p.step; ++r) {
      mean += LOADV_LOCAL(means, (r * row_vectors + p.vector) * VECTOR) * (float)pixels_of_row(total, r, p.step);
    }
    mean /= (float)total;
    for (int r = 0; r < p.step; ++r) {
      vector_t d = LOADV_LOCAL(means, (r * row_vectors + p.vector) * VECTOR) - mean;
      float count = pixels_of_row(total, r, p.step);
      if (count > 0) deviation += LOADV_LOCAL(deviations, (r * row_vectors + p.vector) * VECTOR) + d * d * count;
    }
    int i = (get_group_id(2) * get_num_groups(1) + get_group_id(1)) * channels + p.channel;
    STOREV_FLOAT(partial_mean, i, mean);
    STOREV_FLOAT(partial_deviation, i, deviation);
  }
}

// mean, reciprocal_deviation [batch, groups] from the slices' parts.
__kernel GROUP_OF(MERGE_SIZE) void group_norm_merge(__global float *mean, __global float *reciprocal_deviation,
                                                    __global const float *partial_mean,
                                                    __global const float *partial_deviation, int pixels, int channels,
                                                    int slices, int slice_pixels, float epsilon) {
  __local float scratch[MERGE_SIZE];
  int group_channels = channels / (int)get_num_groups(0);
  int parts = slices * group_channels;
  int base = get_group_id(1) * slices * channels + get_group_id(0) * group_channels;
  float total = (float)pixels * (float)group_channels;
  float sum = 0.0f;
  for (int part = get_local_id(0); part < parts; part += MERGE_SIZE) {
    int slice = part / group_channels;
    float count = min(slice_pixels, pixels - slice * slice_pixels);
    sum += partial_mean[base + slice * channels + part % group_channels] * count;
  }
  float m = group_sum(sum, scratch) / total;
  sum = 0;
  for (int part = get_local_id(0); part < parts; part += MERGE_SIZE) {
    int slice = part / group_channels;
    float count = min(slice_pixels, pixels - slice * slice_pixels);
    int i = base + slice * channels + part % group_channels;
    float d = partial_mean[i] - m;
    sum += partial_deviation[i] + d * d * count;
  }
  float variance = group_sum(sum, scratch) / total;
  if (get_local_id(0) == 0) {
    int i = get_group_id(1) * get_num_groups(0) + get_group_id(0);
    mean[i] = m;
    reciprocal_deviation[i] = 1.0f / sqrt(variance + epsilon);
  }
}

__kernel GROUP_OF(GROUP_SIZE) void group_norm_forward(__global storage_t *y, __global const storage_t *x,
                                                      __global const float *scale, __global const float *shift,
                                                      __global const float *mean,
                                                      __global const float *reciprocal_deviation, int pixels,
                                                      int channels, int groups, int row_vectors, int slice_pixels) {
  Place p = place(pixels, channels, row_vectors, slice_pixels);
  if (p.item_row < 0) return;
  int b = get_group_id(2);
  vector_t m = read_groups(mean + b * groups, p.channel, channels / groups);
  vector_t r = read_groups(reciprocal_deviation + b * groups, p.channel, channels / groups);
  vector_t w = LOADV_FLOAT(scale, p.channel);
  vector_t s = LOADV_FLOAT(shift, p.channel);
  for (int pixel = p.pixel; pixel < p.end; pixel += p.step) {
    int i = (b * pixels + pixel) * channels + p.channel;
    vector_t z = (LOADV(x, i) - m) * r * w + s;
    STOREV(y, i, ACTIVATE(z));
  }
}

// sum_g, sum_gx [batch, slices, channels]: the slice's sums of g and of g xn a channel.
__kernel GROUP_OF(GROUP_SIZE) void group_norm_backward_statistics(
    __global float *sum_g, __global float *sum_gx, __global const storage_t *dy, __global const storage_t *x,
    __global const float *scale, __global const float *shift, __global const float *mean,
    __global const float *reciprocal_deviation, int pixels, int channels, int groups, int row_vectors,
    int slice_pixels) {
  __local float sums_g[GROUP_SIZE * VECTOR];
  __local float sums_gx[GROUP_SIZE * VECTOR];
  Place p = place(pixels, channels, row_vectors, slice_pixels);
  int item = get_local_id(0);
  int b = get_group_id(2);
  if (p.item_row >= 0) {
    vector_t m = read_groups(mean + b * groups, p.channel, channels / groups);
    vector_t r = read_groups(reciprocal_deviation + b * groups, p.channel, channels / groups);
    vector_t w = LOADV_FLOAT(scale, p.channel);
    vector_t s = LOADV_FLOAT(shift, p.channel);
    vector_t part_g = 0, part_gx = 0;
    for (int pixel = p.pixel; pixel < p.end; pixel += p.step) {
      int i = (b * pixels + pixel) * channels + p.channel;
      vector_t xn = (LOADV(x, i) - m) * r;
      vector_t z = xn * w + s;
      vector_t g = LOADV(dy, i) * ACTIVATION_GRADIENT(z) * w;
      part_g += g;
      part_gx += g * xn;
    }
    STOREV_LOCAL(sums_g, item * VECTOR, part_g);
    STOREV_LOCAL(sums_gx, item * VECTOR, part_gx);
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  if (p.item_row == 0) {
    vector_t part_g = 0, part_gx = 0;
    for (int row = 0; row < p.step; ++row) {
      part_g += LOADV_LOCAL(sums_g, (row * row_vectors + p.vector) * VECTOR);
      part_gx += LOADV_LOCAL(sums_gx, (row * row_vectors + p.vector) * VECTOR);
    }
    int i = (b * get_num_groups(1) + get_group_id(1)) * channels + p.channel;
    STOREV_FLOAT(sum_g, i, part_g);
    STOREV_FLOAT(sum_gx, i, part_gx);
  }
}

// mean_g, mean_gx [batch, groups] from the slices' sums.
__kernel GROUP_OF(MERGE_SIZE) void group_norm_backward_merge(__global float *mean_g, __global float *mean_gx,
                                                             __global const float *sum_g, __global const float *sum_gx,
                                                             int pixels, int channels, int slices) {
  __local float2 scratch[MERGE_SIZE];
  int group_channels = channels / (int)get_num_groups(0);
  int parts = slices * group_channels;
  int base = get_group_id(1) * slices * channels + get_group_id(0) * group_channels;
  float2 sum = 0;
  for (int part = get_local_id(0); part < parts; part += MERGE_SIZE) {
    int i = base + part / group_channels * channels + part % group_channels;
    sum += (float2)(sum_g[i], sum_gx[i]);
  }
  sum = group_sum2(sum, scratch) / ((float)pixels * (float)group_channels);
  if (get_local_id(0) == 0) {
    int i = get_group_id(1) * get_num_groups(0) + get_group_id(0);
    mean_g[i] = sum.s0;
    mean_gx[i] = sum.s1;
  }
}

__kernel GROUP_OF(GROUP_SIZE) void group_norm_backward_input(
    __global storage_t *dx, __global const storage_t *dy, __global const storage_t *x, __global const float *scale,
    __global const float *shift, __global const float *mean, __global const float *reciprocal_deviation,
    __global const float *mean_g, __global const float *mean_gx, __global const storage_t *residual, int pixels,
    int channels, int groups, int row_vectors, int slice_pixels, int has_residual) {
  Place p = place(pixels, channels, row_vectors, slice_pixels);
  if (p.item_row < 0) return;
  int b = get_group_id(2);
  vector_t m = read_groups(mean + b * groups, p.channel, channels / groups);
  vector_t r = read_groups(reciprocal_deviation + b * groups, p.channel, channels / groups);
  vector_t mg = read_groups(mean_g + b * groups, p.channel, channels / groups);
  vector_t mgx = read_groups(mean_gx + b * groups, p.channel, channels / groups);
  vector_t w = LOADV_FLOAT(scale, p.channel);
  vector_t s = LOADV_FLOAT(shift, p.channel);
  for (int pixel = p.pixel; pixel < p.end; pixel += p.step) {
    int i = (b * pixels + pixel) * channels + p.channel;
    vector_t xn = (LOADV(x, i) - m) * r;
    vector_t z = xn * w + s;
    vector_t g = LOADV(dy, i) * ACTIVATION_GRADIENT(z) * w;
    vector_t d = r * (g - mg - xn * mgx);
    if (has_residual) d += LOADV(residual, i);
    STOREV(dx, i, d);
  }
}
