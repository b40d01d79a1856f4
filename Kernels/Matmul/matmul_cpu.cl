// A linear layer with frozen weights, CPU form (storage.cl, activation.cl, tile_cpu.cl and block_cpu.cl come first).
//
//     y = activation(x w + bias) + addend
//
// x is [rows, inputs], y and addend are [rows, outputs], bias is [outputs] in float, w is in panels (block_cpu.cl).
// Backward to the input is the same product with the weights packed the other way: dx = dy wᵀ + addend. Nothing is
// saved. Groups: (columns / blockColumns, rows / blockRows), rounded up; blockColumns is whole panels.

__kernel ONE_ITEM void linear(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                              __global const float *bias, __global const storage_t *addend, const int rows,
                              const int inputs, const int outputs, const int blockRows, const int blockColumns,
                              const int hasBias, const int hasAddend) {
  const int column = get_group_id(0) * blockColumns, row = get_group_id(1) * blockRows;
  const int columns = min(blockColumns, outputs - column), count = min(blockRows, rows - row);
  const int panels = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  CACHE_LINE float a[BLOCK_ROWS * BLOCK_DEPTH];
  CACHE_LINE float c[BLOCK_ROWS * BLOCK_COLUMNS];
  CACHE_LINE float unpacked[STORAGE == 32 ? 1 : BLOCK_DEPTH * TILE_COLUMNS];

  const int step = step_depth(inputs);
  w += (size_t)column * inputs;
  x += (size_t)row * inputs;
  for (int k = 0; k < inputs; k += step) {
    const int depth = min(step, inputs - k);
    for (int r = 0; r < count; ++r) read_row(a + r * BLOCK_DEPTH, x + (size_t)r * inputs + k, depth);
    block_product(c, a, w + (size_t)k * TILE_COLUMNS, (size_t)inputs * TILE_COLUMNS, count, panels, depth, k > 0,
                  unpacked);
  }
  for (int r = 0; r < count; ++r) {
    const size_t start = (size_t)(row + r) * outputs + column;
    write_block_row(y + start, c + r * BLOCK_COLUMNS, bias + column, hasBias, addend + start, hasAddend, columns);
  }
}
