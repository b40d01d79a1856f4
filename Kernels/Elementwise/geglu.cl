// y = value gelu(gate);  dvalue = dy gelu(gate),  dgate = dy value gelu'(gate)
//
// x = (value, gate), dx = (dvalue, dgate) [rows, 2 channels]; y, dy [rows, channels]. Backward needs x. The GELU is exact.
//
// An item takes VECTOR neighbouring channels of one row; lanes = channels / VECTOR.

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void geglu_forward(__global storage_t *y,
                                                                             __global const storage_t *x, int rows,
                                                                             int lanes) {
  int item = get_global_id(0);
  if (item >= rows * lanes) return;
  int row = item / lanes;
  int value_at = (item + row * lanes) * VECTOR;
  vector_t gate = LOADV(x, value_at + lanes * VECTOR);
  STOREV(y, item * VECTOR, LOADV(x, value_at) * gelu(gate));
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void geglu_backward_input(__global storage_t *dx,
                                                                                    __global const storage_t *dy,
                                                                                    __global const storage_t *x,
                                                                                    int rows, int lanes) {
  int item = get_global_id(0);
  if (item >= rows * lanes) return;
  int row = item / lanes;
  int value_at = (item + row * lanes) * VECTOR;
  int gate_at = value_at + lanes * VECTOR;
  vector_t gate = LOADV(x, gate_at);
  vector_t d = LOADV(dy, item * VECTOR);
  STOREV(dx, gate_at, d * LOADV(x, value_at) * gelu_gradient(gate));
  STOREV(dx, value_at, d * gelu(gate));
}
