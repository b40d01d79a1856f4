// y = (a, b) side by side on the innermost axis; backward cuts dy = (da, db) in two.
//
// a, da [rows, a_vectors VECTOR]; b, db [rows, b_vectors VECTOR]; y, dy [rows, (a_vectors + b_vectors) VECTOR].
//
// An item moves VECTOR neighbouring channels of y; the bits move as they are.

#if VECTOR == 8
#define BITS(p, i) (*(__global storage8_t *)((p) + (i)))
#define CONST_BITS(p, i) (*(__global const storage8_t *)((p) + (i)))
#else
#define BITS(p, i) ((p)[i])
#define CONST_BITS(p, i) ((p)[i])
#endif

__kernel GROUP_OF(256) void concatenate_channels_forward(__global storage_t *y, __global const storage_t *a,
                                                         __global const storage_t *b, int rows, int a_vectors,
                                                         int b_vectors) {
  int item = get_global_id(0);
  int vectors = a_vectors + b_vectors;
  if (item >= rows * vectors) return;
  int row = item / vectors;
  int vector = item % vectors;
  if (vector < a_vectors) {
    BITS(y, item * VECTOR) = CONST_BITS(a, (row * a_vectors + vector) * VECTOR);
  } else {
    BITS(y, item * VECTOR) = CONST_BITS(b, (row * b_vectors + vector - a_vectors) * VECTOR);
  }
}

__kernel GROUP_OF(256) void concatenate_channels_backward_input(__global storage_t *da, __global storage_t *db,
                                                                __global const storage_t *dy, int rows, int a_vectors,
                                                                int b_vectors) {
  int item = get_global_id(0);
  int vectors = a_vectors + b_vectors;
  if (item >= rows * vectors) return;
  int row = item / vectors;
  int vector = item % vectors;
  if (vector < a_vectors) {
    BITS(da, (row * a_vectors + vector) * VECTOR) = CONST_BITS(dy, item * VECTOR);
  } else {
    BITS(db, (row * b_vectors + vector - a_vectors) * VECTOR) = CONST_BITS(dy, item * VECTOR);
  }
}
