// y[b, i, j] = x[b, i / 2, j / 2];  dx[b, i, j] = the sum of dy over the pixels made of it: four, or what a trimmed edge leaves
//
// x, dx [batch, height, width, channels]; y, dy [batch, y_height, y_width, channels], y_height = 2 height or one less, y_width alike.
//
// An item takes VECTOR neighbouring channels of one pixel of x; lanes = channels / VECTOR, pixels = batch height width.

// Where the two by two pixels stand that one pixel of x becomes, in elements.
typedef struct {
  int first;
  int right;
  int below;
  bool has_right;
  bool has_below;
} Square;

static inline Square square(int item, int height, int width, int y_height, int y_width, int lanes) {
  Square s;
  int pixel = item / lanes;
  int column = pixel % width * 2;
  int row = pixel / width % height * 2;
  int b = pixel / width / height;
  s.first = (((b * y_height + row) * y_width + column) * lanes + item % lanes) * VECTOR;
  s.right = lanes * VECTOR;
  s.below = y_width * lanes * VECTOR;
  s.has_right = column + 1 < y_width;
  s.has_below = row + 1 < y_height;
  return s;
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void upsample_forward(__global storage_t *y,
                                                                                __global const storage_t *x, int pixels,
                                                                                int height, int width, int y_height,
                                                                                int y_width, int lanes) {
  int item = get_global_id(0);
  if (item >= pixels * lanes) return;
  Square s = square(item, height, width, y_height, y_width, lanes);
  vector_t v = LOADV(x, item * VECTOR);
  STOREV(y, s.first, v);
  if (s.has_right) STOREV(y, s.first + s.right, v);
  if (s.has_below) STOREV(y, s.first + s.below, v);
  if (s.has_right && s.has_below) STOREV(y, s.first + s.below + s.right, v);
}

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void upsample_backward_input(__global storage_t *dx,
                                                                                       __global const storage_t *dy,
                                                                                       int pixels, int height,
                                                                                       int width, int y_height,
                                                                                       int y_width, int lanes) {
  int item = get_global_id(0);
  if (item >= pixels * lanes) return;
  Square s = square(item, height, width, y_height, y_width, lanes);
  vector_t sum = LOADV(dy, s.first);
  if (s.has_right) sum += LOADV(dy, s.first + s.right);
  if (s.has_below) sum += LOADV(dy, s.first + s.below);
  if (s.has_right && s.has_below) sum += LOADV(dy, s.first + s.below + s.right);
  STOREV(dx, item * VECTOR, sum);
}
