// y = value gelu(gate);  dvalue = dy gelu(gate),  dgate = dy value gelu'(gate)
//
// x = (value, gate), dx = (dvalue, dgate) [rows, 2 channels]; y, dy [rows, channels]. Backward needs x. The GELU is
// exact.
//
// An item takes VECTOR neighbouring channels of one row; vectors = channels / VECTOR.

__kernel GROUP_OF(256) void geglu_forward(__global storage_t *y, __global const storage_t *x, int rows, int vectors) {
  int item = get_global_id(0);
  if (item >= rows * vectors) return;
  int row = item / vectors;
  int value_at = (item + row * vectors) * VECTOR;
  vector_t gate = LOADV(x, value_at + vectors * VECTOR);
  STOREV(y, item * VECTOR, LOADV(x, value_at) * gelu(gate));
}

__kernel GROUP_OF(256) void geglu_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                 __global const storage_t *x, int rows, int vectors) {
  int item = get_global_id(0);
  if (item >= rows * vectors) return;
  int row = item / vectors;
  int value_at = (item + row * vectors) * VECTOR;
  int gate_at = value_at + vectors * VECTOR;
  vector_t gate = LOADV(x, gate_at);
  vector_t d = LOADV(dy, item * VECTOR);
  STOREV(dx, gate_at, d * LOADV(x, value_at) * gelu_gradient(gate));
  STOREV(dx, value_at, d * gelu(gate));
}
