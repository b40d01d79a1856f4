// Reductions over a work-group, by halving in local memory: the order of the sums depends on the group's size alone.
//
// Every item must call, with a scratch array of one entry an item and a group of a power of two; every item gets the
// result. The scratch may be used again right after.
//
// always_inline is needed, not just wished for: a function called twice with one array may have that array's address
// put into its body, and PoCL 3.1, which gives every thread its own copy of a kernel's local arrays, then misses that
// use. All threads share one.

INLINED float group_sum(float value, __local float *scratch) {
  int item = get_local_id(0);
  scratch[item] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
    if (item < half_size) scratch[item] += scratch[item + half_size];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  float result = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return result;
}

INLINED float2 group_sum2(float2 value, __local float2 *scratch) {
  int item = get_local_id(0);
  scratch[item] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = get_local_size(0) / 2; half_size > 0; half_size /= 2) {
    if (item < half_size) scratch[item] += scratch[item + half_size];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  float2 result = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return result;
}
