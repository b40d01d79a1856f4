// Products with frozen weights: the arithmetic of product_tile.h, built for each instruction set, and the choice among them.
#include "loops.h"

enum { winograd_points = 16 };

// Weights of one input and output as they are packed: the kernel's taps, or Winograd's points.
static size_t weight_taps(const vector_product *p) { return p->winograd ? winograd_points : p->kernel * p->kernel; }

// Floats of a row of zeros that stands for pixels outside.
static size_t zero_floats(const vector_product *p) { return (p->inputs + 15) / 16 * 16; }

// For each row of y, counted over the pictures, the pixel of x that tap `tap` meets there: zeros outside.
static void gather_rows(const vector_product *p, const float *x, const float *zeros, size_t tap, size_t first,
                        size_t count, const float **rows) {
  const ptrdiff_t down = (ptrdiff_t)(tap / p->kernel), right = (ptrdiff_t)(tap % p->kernel);
  const ptrdiff_t stride = (ptrdiff_t)p->stride, padding = (ptrdiff_t)p->padding;
  const size_t pixels = p->out_height * p->out_width;
  size_t sample = first / pixels, column = first % p->out_width, line = first % pixels / p->out_width;
  for (size_t i = 0; i < count; ++i) {
    ptrdiff_t v, h;
    bool inside = true;
    if (p->backward) {
      v = (ptrdiff_t)line + padding - down;
      h = (ptrdiff_t)column + padding - right;
      inside = v % stride == 0 && h % stride == 0;
      v /= stride;
      h /= stride;
    } else {
      v = (ptrdiff_t)line * stride + down - padding;
      h = (ptrdiff_t)column * stride + right - padding;
    }
    inside = inside && v >= 0 && h >= 0 && v < (ptrdiff_t)p->height && h < (ptrdiff_t)p->width;
    rows[i] = inside ? x + ((sample * p->height + (size_t)v) * p->width + (size_t)h) * p->inputs : zeros;
    if (++column == p->out_width) {
      column = 0;
      if (++line == p->out_height) {
        line = 0;
        ++sample;
      }
    }
  }
}

// A tile of 2x2 pixels of y: its first pixel.
typedef struct {
  size_t sample, line, column;
} tile;

static tile tile_at(const vector_product *p, size_t index) {
  const size_t across = (p->out_width + 1) / 2, down = (p->out_height + 1) / 2;
  return (tile){index / (across * down), index / across % down * 2, index % across * 2};
}

// The 4x4 pixels of x that a tile is made of: zeros outside.
static void gather_patch(const vector_product *p, const float *x, const float *zeros, size_t index,
                         const float **pixels) {
  const tile t = tile_at(p, index);
  for (size_t i = 0; i < 16; ++i) {
    // Behind zero unsigned numbers are large.
    const size_t v = t.line + i / 4 - 1, h = t.column + i % 4 - 1;
    const bool inside = v < p->height && h < p->width;
    pixels[i] = inside ? x + ((t.sample * p->height + v) * p->width + h) * p->inputs : zeros;
  }
}

// Brings finished sums home: bias, activation, residual and y's type.
STATIC_LOOP(void, finish,
            (const vector_product *p, const vector_epilogue *e, float *sums, size_t sums_row, void *y, vector_type type,
             size_t first, size_t count, size_t first_channel, size_t channels),
            (p, e, sums, sums_row, y, type, first, count, first_channel, channels)) {
  float as[block_size];
  const size_t pixels = p->out_height * p->out_width;
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first + i;
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * p->outputs + first_channel + c;
      float *s = sums + i * sums_row + c;
      if (e->bias)
        for (size_t j = 0; j < n; ++j) s[j] += e->bias[first_channel + c + j];
      if (e->activation >= 0) vector_activate((vector_activation)e->activation, s, s, vector_float32, n);
      if (e->residual) {
        const size_t from = e->residual_is_row ? row / pixels * p->outputs + first_channel + c : at;
        const float *a = load(e->residual, type, from, n, as);
        for (size_t j = 0; j < n; ++j) s[j] += a[j];
      }
      if (type == vector_float32)
        memcpy((float *)y + at, s, n * sizeof(float));
      else
        store(y, type, at, n, s);
    }
  }
}

#define TILE "product_tile.h"
#include "each_instruction_set.h"

typedef struct {
  size_t width;
  // Plainly, and by Winograd.
  void (*compute[2])(const vector_product *, const float *, const void *, const vector_epilogue *, void *, vector_type,
                     size_t, size_t, size_t, size_t, float *);
} instruction_set;

#define SET(suffix, width)                                 \
  {                                                        \
    width, { compute_##suffix, compute_winograd_##suffix } \
  }

static const instruction_set *chosen(void) {
  static const instruction_set sets[] = INSTRUCTION_SETS(SET);
  return &sets[chosen_set];
}

bool vector_product_is_fast(void) {
#ifdef __OPTIMIZE__
  return true;
#else
  return false;
#endif
}

size_t vector_product_panel(void) { return chosen()->width; }

static size_t panel_floats(const vector_product *p) { return weight_taps(p) * p->inputs * chosen()->width; }

size_t vector_product_packed_bytes(const vector_product *p) {
  const size_t width = chosen()->width;
  return (p->outputs + width - 1) / width * panel_floats(p) * (p->weights == vector_float32 ? 4 : 2);
}

// G g Gᵀ of 3x3 taps `stride` floats apart.
static void transform_filter(const float *g, size_t stride, float *points) {
  float t[4][3];
  for (size_t j = 0; j < 3; ++j) {
    const float a = g[j * stride], b = g[(3 + j) * stride], c = g[(6 + j) * stride];
    t[0][j] = a, t[1][j] = (a + b + c) / 2, t[2][j] = (a - b + c) / 2, t[3][j] = c;
  }
  for (size_t i = 0; i < 4; ++i) {
    const float a = t[i][0], b = t[i][1], c = t[i][2];
    points[4 * i] = a, points[4 * i + 1] = (a + b + c) / 2, points[4 * i + 2] = (a - b + c) / 2, points[4 * i + 3] = c;
  }
}

void vector_product_pack(const vector_product *p, const float *w, size_t output_stride, size_t input_stride,
                         size_t tap_stride, size_t panel, void *packed) {
  const size_t width = chosen()->width, taps = weight_taps(p), first = panel * width;
  float weights[16][16];
  for (size_t c = 0; c < p->inputs; ++c)
    for (size_t group = 0; group < taps; group += 16) {
      const size_t n = smaller(16, taps - group);
      for (size_t l = 0; l < width; ++l) {
        const float *from = w + (first + l) * output_stride + c * input_stride + group * tap_stride;
        const bool inside = first + l < p->outputs;
        float points[winograd_points];
        if (inside && p->winograd) transform_filter(from, tap_stride, points);
        for (size_t t = 0; t < n; ++t) weights[t][l] = !inside ? 0 : p->winograd ? points[t] : from[t * tap_stride];
      }
      for (size_t t = 0; t < n; ++t) {
        const size_t at = panel * panel_floats(p) + ((group + t) * p->inputs + c) * width;
        if (p->weights == vector_float32)
          memcpy((float *)packed + at, weights[t], width * sizeof(float));
        else
          store(packed, p->weights, at, width, weights[t]);
      }
    }
}

static size_t depth(void) { return 2048 / chosen()->width; }

size_t vector_product_places(const vector_product *p) {
  if (!p->winograd) return p->batch * p->out_height * p->out_width;
  return p->batch * ((p->out_height + 1) / 2) * ((p->out_width + 1) / 2);
}

size_t vector_product_scratch_floats(const vector_product *p, size_t places, size_t panels) {
  const size_t sums = places * panels * chosen()->width, block = 3 * chosen()->width * depth() + zero_floats(p);
  if (!p->winograd) return sums + block;
  // Patches, and in their place four rows of y.
  const size_t patches = winograd_points * places * depth(), pixels = 4 * panels * chosen()->width;
  return winograd_points * sums + block + (patches > pixels ? patches : pixels);
}

void vector_product_compute(const vector_product *p, const float *x, const void *packed,
                            const vector_epilogue *epilogue, void *y, vector_type type, size_t first, size_t count,
                            size_t first_panel, size_t panels, float *scratch) {
  chosen()->compute[p->winograd](p, x, packed, epilogue, y, type, first, count, first_panel, panels, scratch);
}
