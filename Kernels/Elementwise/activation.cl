// y = f(x), dx = dy f'(x), with the f that ACTIVATION names (Common/activation.cl). Backward needs x.
//
// All tensors are [count]. An item takes eight neighbours; the last takes what is left, one by one.

__kernel GROUP_OF(256) void activation_forward(__global storage_t *y, __global const storage_t *x, int count) {
  int i = 8 * get_global_id(0);
  if (i + 8 <= count) {
    float8 v = LOAD8(x, i);
    STORE8(y, i, ACTIVATE(v));
  } else {
    for (; i < count; ++i) {
      float v = LOAD(x, i);
      STORE(y, i, ACTIVATE(v));
    }
  }
}

__kernel GROUP_OF(256) void activation_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                      __global const storage_t *x, int count) {
  int i = 8 * get_global_id(0);
  if (i + 8 <= count) {
    float8 v = LOAD8(x, i);
    STORE8(dx, i, LOAD8(dy, i) * ACTIVATION_GRADIENT(v));
  } else {
    for (; i < count; ++i) {
      float v = LOAD(x, i);
      STORE(dx, i, LOAD(dy, i) * ACTIVATION_GRADIENT(v));
    }
  }
}
