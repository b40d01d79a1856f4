// loss = mean((prediction - target)^2);  dprediction = factor (prediction - target),  factor = 2 scale / count
//
// prediction, dprediction [count]; target [count], float; loss [1], float. Backward needs both inputs.
//
// The loss is summed in two stages in an order that depends on count alone: `partial` over the elements, `total` over
// the groups.

#ifndef GROUP_SIZE
#define GROUP_SIZE 256  // items a work-group
#endif

// parts [groups]: the sum over the elements that the group's items take in strides of all items.
__kernel GROUP_OF(GROUP_SIZE) void mean_squared_error_partial(__global float *parts,
                                                              __global const storage_t *prediction,
                                                              __global const float *target, int count) {
  __local float scratch[GROUP_SIZE];
  float sum = 0.0f;
  for (int i = get_global_id(0); i < count; i += get_global_size(0)) {
    float d = LOAD(prediction, i) - target[i];
    sum += d * d;
  }
  sum = group_sum(sum, scratch);
  if (get_local_id(0) == 0) parts[get_group_id(0)] = sum;
}

// One work-group.
__kernel GROUP_OF(GROUP_SIZE) void mean_squared_error_total(__global float *loss, __global const float *parts,
                                                            int groups, int count) {
  __local float scratch[GROUP_SIZE];
  float sum = 0.0f;
  for (int i = get_local_id(0); i < groups; i += GROUP_SIZE) sum += parts[i];
  sum = group_sum(sum, scratch);
  if (get_local_id(0) == 0) loss[0] = sum / (float)count;
}

__kernel GROUP_OF(GROUP_SIZE) void mean_squared_error_backward_input(__global storage_t *dprediction,
                                                                     __global const storage_t *prediction,
                                                                     __global const float *target, int count,
                                                                     float factor) {
  int i = get_global_id(0);
  if (i < count) STORE(dprediction, i, factor * (LOAD(prediction, i) - target[i]));
}
