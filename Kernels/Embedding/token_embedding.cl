// The text encoder's first step, and the gradient of the rows in training:
//
//   x[t] = row(ids[t]) + positions[t mod length],  row(id) = table[id], or rows[id - vocabulary] for ids past the table
//   drows[n] = scale sum over the t that hold row n of dy[t] + addend[n]
//
// x, dy [tokens, width]; ids [tokens]; table [vocabulary, width] and positions [.., width] in any storage; rows, drows, addend
// [count, width], float. The sum runs in the tokens' order: two runs give the same bits.

// Element i of a tensor in the storage that `storage` names, by the numbers of STORAGE.
static inline float load_any(__global const void *p, int i, int storage) {
  if (storage == 32) return ((__global const float *)p)[i];
  ushort bits = ((__global const ushort *)p)[i];
  return storage == 16 ? half_to_float(bits) : bfloat_to_float(bits);
}

// Grid: an item an element. `table_storage` and `positions_storage` are 32, 16 or 17.
__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void token_embedding_forward(
    __global storage_t *x, __global const int *ids, __global const void *table, __global const void *positions,
    __global const float *rows, int table_storage, int positions_storage, int tokens, int length, int width,
    int vocabulary) {
  int i = get_global_id(0);
  if (i >= tokens * width) return;
  int token = i / width;
  int column = i % width;
  int id = ids[token];
  float v =
      id < vocabulary ? load_any(table, id * width + column, table_storage) : rows[(id - vocabulary) * width + column];
  STORE(x, i, v + load_any(positions, token % length * width + column, positions_storage));
}

// holders lists the tokens that hold row 0, then those of row 1, ...; starts [count + 1] says where each row's begin.
// Grid: an item an element of drows. addend is read where has_addend is not 0.
__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void embedding_rows_gradient(
    __global float *drows, __global const storage_t *dy, __global const int *starts, __global const int *holders,
    __global const float *addend, int has_addend, float scale, int count, int width) {
  int i = get_global_id(0);
  if (i >= count * width) return;
  int row = i / width;
  int column = i % width;
  float sum = 0;
  for (int h = starts[row]; h < starts[row + 1]; ++h) sum += LOAD(dy, holders[h] * width + column);
  sum *= scale;
  drows[i] = has_addend ? sum + addend[i] : sum;
}
