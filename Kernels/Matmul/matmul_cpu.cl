// A linear layer with frozen weights, CPU form (tile_cpu.cl and block_cpu.cl come first).
//
//     y = activation(x w + bias) + residual
//
// x is [rows, inputs], y and residual are [rows, outputs], bias is [outputs] in float, w is in panels (block_cpu.cl).
// Backward to the input is the same product with the weights packed the other way: dx = dy wᵀ + residual. Nothing is
// saved. Groups: (columns / block_columns, rows / block_rows), rounded up; block_columns is whole panels.

__kernel GROUP_OF(1) void linear(__global storage_t *y, __global const storage_t *x, __global const storage_t *w,
                                 __global const float *bias, __global const storage_t *residual, int rows, int inputs,
                                 int outputs, int block_rows, int block_columns, int has_bias, int has_residual) {
  int column = get_group_id(0) * block_columns, row = get_group_id(1) * block_rows;
  int columns = min(block_columns, outputs - column), count = min(block_rows, rows - row);
  int panels = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
  CACHE_LINE float a[BLOCK_ROWS * BLOCK_DEPTH];
  CACHE_LINE float c[BLOCK_ROWS * BLOCK_COLUMNS];
  CACHE_LINE float unpacked[STORAGE == 32 ? 1 : BLOCK_DEPTH * TILE_COLUMNS];

  int step = step_depth(inputs);
  w += (size_t)column * inputs;
  x += (size_t)row * inputs;
  for (int k = 0; k < inputs; k += step) {
    int depth = min(step, inputs - k);
    for (int r = 0; r < count; ++r) read_row(a + r * BLOCK_DEPTH, x + (size_t)r * inputs + k, depth);
    block_product(c, a, w + (size_t)k * TILE_COLUMNS, (size_t)inputs * TILE_COLUMNS, count, panels, depth, k > 0,
                  unpacked);
  }
  for (int r = 0; r < count; ++r) {
    size_t start = (size_t)(row + r) * outputs + column;
    write_block_row(y + start, c + r * BLOCK_COLUMNS, bias + column, residual + start, columns, has_bias, has_residual);
  }
}
