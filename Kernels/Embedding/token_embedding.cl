// The text encoder's first step, and the gradient of the rows in training:
//
//   x[t] = row(ids[t]) + positions[t mod length],  row(id) = table[id], or rows[id - vocabulary] for ids past the table
//   drows[n] = scale sum over the t that hold row n of dy[t] + before[n]
//
// x, dy [tokens, width]; ids [tokens]; table [vocabulary, width] and positions [.., width] in any storage; rows, drows,
// before [count, width], float. The sum runs in the tokens' order: two runs give the same bits.

// Element i of a tensor in the storage that `storage` names, by the numbers of STORAGE.
static inline float load_any(__global const void *p, int i, int storage) {
  if (storage == 32) return ((__global const float *)p)[i];
  ushort bits = ((__global const ushort *)p)[i];
  return storage == 16 ? half_to_float(bits) : bfloat_to_float(bits);
}

// Items: one an element. `table_storage` and `positions_storage` are 32, 16 or 17.
__kernel GROUP_OF(256) void token_embedding_forward(__global storage_t *x, __global const int *ids,
                                                    __global const void *table, __global const void *positions,
                                                    __global const float *rows, int tokens, int length, int width,
                                                    int vocabulary, int table_storage, int positions_storage) {
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
// Items: one an element of drows. before, the sum so far, is read where has_before says so.
__kernel GROUP_OF(256) void token_embedding_backward_rows(__global float *drows, __global const storage_t *dy,
                                                          __global const int *starts, __global const int *holders,
                                                          __global const float *before, int count, int width,
                                                          float scale, int has_before) {
  int i = get_global_id(0);
  if (i >= count * width) return;
  int row = i / width;
  int column = i % width;
  float sum = 0.0f;
  for (int h = starts[row]; h < starts[row + 1]; ++h) sum += LOAD(dy, holders[h] * width + column);
  sum *= scale;
  drows[i] = has_before ? sum + before[i] : sum;
}
