// y = (a, b) side by side on the innermost axis; backward cuts dy = (da, db) in two.
//
// a, da [rows, a_lanes VECTOR]; b, db [rows, b_lanes VECTOR]; y, dy [rows, (a_lanes + b_lanes) VECTOR].
//
// An item moves VECTOR neighbouring channels of y; the bits move as they are.

#if VECTOR == 8
#define BITS(p, i) (*(__global storage8_t *)((p) + (i)))
#define CONST_BITS(p, i) (*(__global const storage8_t *)((p) + (i)))
#else
#define BITS(p, i) ((p)[i])
#define CONST_BITS(p, i) ((p)[i])
#endif

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void concatenate_channels_forward(__global storage_t *y,
                                                                                            __global const storage_t *a,
                                                                                            __global const storage_t *b,
                                                                                            int rows, int a_lanes,
                                                                                            int b_lanes) {
  int item = get_global_id(0);
  int lanes = a_lanes + b_lanes;
  if (item >= rows * lanes) return;
  int row = item / lanes;
  int lane = item % lanes;
  if (lane < a_lanes) {
    BITS(y, item * VECTOR) = CONST_BITS(a, (row * a_lanes + lane) * VECTOR);
  } else {
    BITS(y, item * VECTOR) = CONST_BITS(b, (row * b_lanes + lane - a_lanes) * VECTOR);
  }
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void concatenate_channels_backward_input(
    __global storage_t *da, __global storage_t *db, __global const storage_t *dy, int rows, int a_lanes, int b_lanes) {
  int item = get_global_id(0);
  int lanes = a_lanes + b_lanes;
  if (item >= rows * lanes) return;
  int row = item / lanes;
  int lane = item % lanes;
  if (lane < a_lanes) {
    BITS(da, (row * a_lanes + lane) * VECTOR) = CONST_BITS(dy, item * VECTOR);
  } else {
    BITS(db, (row * b_lanes + lane - a_lanes) * VECTOR) = CONST_BITS(dy, item * VECTOR);
  }
}
