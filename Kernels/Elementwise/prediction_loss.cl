// d = prediction - target;  loss = sum(w e(d)) / count;  dprediction = factor w e'(d) / 2,  factor = 2 scale / count
//
//   e(d) = d^2                          e'(d) / 2 = d
//   e(d) = 2c (sqrt(d^2 + c^2) - c)     e'(d) / 2 = d c / sqrt(d^2 + c^2)      where HUBER
//
// prediction, dprediction [samples, size]; target the same, float; weights [samples, size / channels], float, where WEIGHTED, else
// anything; huber [samples], float, where HUBER, else anything; loss [1], float. Backward needs all inputs.
//
// The loss is summed in two stages in an order that depends on count alone: `partial` over the elements, `total` over
// the groups.

#ifndef WEIGHTED
#define WEIGHTED 0
#endif
#ifndef HUBER
#define HUBER 0
#endif
#ifndef GROUP_SIZE
#define GROUP_SIZE 256  // items a work-group
#endif

#if WEIGHTED
#define WEIGHT(i) weights[(i) / channels]
#else
#define WEIGHT(i) 1.0f
#endif

#if HUBER
// Without the difference, which loses digits where d is small.
INLINED float error_of(float d, float c) { return 2.0f * c * (d * d / (sqrt(d * d + c * c) + c)); }
INLINED float half_slope(float d, float c) { return d * (c / sqrt(d * d + c * c)); }
#define THRESHOLD(i) huber[(i) / size]
#else
INLINED float error_of(float d, float c) { return d * d; }
INLINED float half_slope(float d, float c) { return d; }
#define THRESHOLD(i) 0.0f
#endif

// parts [groups]: the sum over the elements that the group's items take in strides of all items.
__kernel GROUP_OF(GROUP_SIZE) void prediction_loss_partial(__global float *parts, __global const storage_t *prediction,
                                                           __global const float *target, __global const float *weights,
                                                           __global const float *huber, int samples, int size,
                                                           int channels) {
  __local float scratch[GROUP_SIZE];
  float sum = 0.0f;
  for (int i = get_global_id(0); i < samples * size; i += get_global_size(0)) {
    sum += WEIGHT(i) * error_of(LOAD(prediction, i) - target[i], THRESHOLD(i));
  }
  sum = group_sum(sum, scratch);
  if (get_local_id(0) == 0) parts[get_group_id(0)] = sum;
}

// One work-group.
__kernel GROUP_OF(GROUP_SIZE) void prediction_loss_total(__global float *loss, __global const float *parts, int groups,
                                                         int count) {
  __local float scratch[GROUP_SIZE];
  float sum = 0.0f;
  for (int i = get_local_id(0); i < groups; i += GROUP_SIZE) sum += parts[i];
  sum = group_sum(sum, scratch);
  if (get_local_id(0) == 0) loss[0] = sum / (float)count;
}

__kernel GROUP_OF(GROUP_SIZE) void prediction_loss_backward_input(
    __global storage_t *dprediction, __global const storage_t *prediction, __global const float *target,
    __global const float *weights, __global const float *huber, int samples, int size, int channels, float factor) {
  int i = get_global_id(0);
  if (i < samples * size) {
    STORE(dprediction, i, factor * WEIGHT(i) * half_slope(LOAD(prediction, i) - target[i], THRESHOLD(i)));
  }
}
