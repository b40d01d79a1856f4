// Brings frozen weights from PyTorch's layout into the one that matmul and convolution read, once, at load (storage.cl
// first).
//
//     source  [outputs, inputs, taps]  in float; taps are the kernel's, row by row, one for a linear layer
//     target  [panels, taps, sum, panelColumns]  in the storage type
//             forward:   the sum runs over the inputs, columns are outputs; backward: the other way
//
// The GPU forms read one panel as wide as the outputs, in both directions; the CPU forms read panels of a register
// tile's columns, one copy a direction. Columns past the last are zeros. Items: panels taps sum chunks or more, where
// an item makes one of `chunks` runs of PACK_COLUMNS columns in a row.

#define PACK_COLUMNS 16

__kernel void pack_weights(__global storage_t *target, __global const float *source, const int outputs,
                           const int inputs, const int taps, const int panelColumns, const int panels,
                           const int isBackward) {
  const int sum = isBackward ? outputs : inputs, columns = isBackward ? inputs : outputs;
  const int chunks = (panelColumns + PACK_COLUMNS - 1) / PACK_COLUMNS;
  const int item = get_global_id(0), row = item / chunks;
  if (row >= panels * taps * sum) return;
  const int panel = row / (taps * sum), tap = row / sum % taps, k = row % sum;
  const int first = item % chunks * PACK_COLUMNS, end = min(first + PACK_COLUMNS, panelColumns);
  for (int c = first; c < end; ++c) {
    const int column = panel * panelColumns + c;
    const int output = isBackward ? k : column, input = isBackward ? column : k;
    const float value = column < columns ? source[((size_t)output * inputs + input) * taps + tap] : 0.0f;
    STORE(target, (size_t)row * panelColumns + c, value);
  }
}
