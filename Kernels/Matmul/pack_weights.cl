// Brings frozen weights from PyTorch's layout into the one that matmul and convolution read, once, at load.
//
//     source  [outputs, inputs, taps]  in float; taps are the kernel's, row by row, one for a linear layer
//     target  [panels, taps, sum, panel_columns]  in the storage type
//             forward:   the sum runs over the inputs, columns are outputs; backward: the other way
//
// The GPU forms read one panel as is_wide as the outputs, in both directions; the CPU forms read panels of a register
// tile's columns, one copy a direction. Columns past the last are zeros. Items: panels taps sum chunks or more, where
// an item makes one of `chunks` runs of PACK_COLUMNS columns in a row.

#define PACK_COLUMNS 16

__kernel void pack_weights(__global storage_t *target, __global const float *source, int outputs, int inputs, int taps,
                           int panel_columns, int panels, int is_backward) {
  int sum = is_backward ? outputs : inputs, columns = is_backward ? inputs : outputs;
  int chunks = (panel_columns + PACK_COLUMNS - 1) / PACK_COLUMNS;
  int item = get_global_id(0), row = item / chunks;
  if (row >= panels * taps * sum) return;
  int panel = row / (taps * sum), tap = row / sum % taps, k = row % sum;
  int first = item % chunks * PACK_COLUMNS, end = min(first + PACK_COLUMNS, panel_columns);
  for (int c = first; c < end; ++c) {
    int column = panel * panel_columns + c;
    int output = is_backward ? k : column, input = is_backward ? column : k;
    float value = column < columns ? source[((size_t)output * inputs + input) * taps + tap] : 0.0f;
    STORE(target, (size_t)row * panel_columns + c, value);
  }
}
