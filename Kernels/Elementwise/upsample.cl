// y[b, i, j] = x[b, i / 2, j / 2];  dx[b, i, j] = the sum of dy over the pixels made of it: four, or what a trimmed
// edge leaves
//
// x, dx [batch, height, width, channels]; y, dy [batch, out_height, out_width, channels], out_height = 2 height or one
// less, out_width alike.
//
// An item takes VECTOR neighbouring channels of one pixel of x; vectors = channels / VECTOR, pixels = batch height
// width.

// Where the two by two pixels stand that one pixel of x becomes, in elements.
typedef struct {
  int first;
  int right;
  int below;
  bool has_right;
  bool has_below;
} Square;

static inline Square square(int item, int height, int width, int out_height, int out_width, int vectors) {
  Square s;
  int pixel = item / vectors;
  int column = pixel % width * 2;
  int row = pixel / width % height * 2;
  int b = pixel / width / height;
  s.first = (((b * out_height + row) * out_width + column) * vectors + item % vectors) * VECTOR;
  s.right = vectors * VECTOR;
  s.below = out_width * vectors * VECTOR;
  s.has_right = column + 1 < out_width;
  s.has_below = row + 1 < out_height;
  return s;
}

__kernel GROUP_OF(256) void upsample_forward(__global storage_t *y, __global const storage_t *x, int pixels, int height,
                                             int width, int out_height, int out_width, int vectors) {
  int item = get_global_id(0);
  if (item >= pixels * vectors) return;
  Square s = square(item, height, width, out_height, out_width, vectors);
  vector_t v = LOADV(x, item * VECTOR);
  STOREV(y, s.first, v);
  if (s.has_right) STOREV(y, s.first + s.right, v);
  if (s.has_below) STOREV(y, s.first + s.below, v);
  if (s.has_right && s.has_below) STOREV(y, s.first + s.below + s.right, v);
}

__kernel GROUP_OF(256) void upsample_backward_input(__global storage_t *dx, __global const storage_t *dy, int pixels,
                                                    int height, int width, int out_height, int out_width, int vectors) {
  int item = get_global_id(0);
  if (item >= pixels * vectors) return;
  Square s = square(item, height, width, out_height, out_width, vectors);
  vector_t sum = LOADV(dy, s.first);
  if (s.has_right) sum += LOADV(dy, s.first + s.right);
  if (s.has_below) sum += LOADV(dy, s.first + s.below);
  if (s.has_right && s.has_below) sum += LOADV(dy, s.first + s.below + s.right);
  STOREV(dx, item * VECTOR, sum);
}
