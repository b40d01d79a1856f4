// One token's vector of each prompt:
//
//   y[i] = x[i, positions[i]];   dx[i, t] = dy[i] where t is positions[i], zero elsewhere
//
// x, dx [batch, length, width]; y, dy [batch, width]; positions [batch]. Backward needs the positions alone; the bits move
// as they are.

// Items: one an element of y.
__kernel GROUP_OF(256) void token_selection_forward(__global storage_t *y, __global const storage_t *x,
                                                    __global const int *positions, int batch, int length, int width) {
  int i = get_global_id(0);
  if (i >= batch * width) return;
  int prompt = i / width;
  y[i] = x[(prompt * length + positions[prompt]) * width + i % width];
}

// Items: one an element of dx.
__kernel GROUP_OF(256) void token_selection_backward_input(__global storage_t *dx, __global const storage_t *dy,
                                                           __global const int *positions, int batch, int length,
                                                           int width) {
  int i = get_global_id(0);
  if (i >= batch * length * width) return;
  int prompt = i / width / length;
  dx[i] = i / width % length == positions[prompt] ? dy[prompt * width + i % width] : 0;
}
