// The CPU backend's inner loops: everything oneDNN lacks, or is slower at.
//
// Each loop is built for several instruction sets and picks one at run time. Numbers are stored as float32, float16 or bfloat16 and
// computed in float32; a buffer's `type` says how it is stored. A loop runs on the thread that calls it: the caller cuts the work
// into pieces. Nothing here allocates.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { vector_float32, vector_float16, vector_bfloat16 } vector_type;
typedef enum { vector_silu, vector_gelu, vector_gelu_tanh, vector_quick_gelu } vector_activation;

// MARK: the processor (processor.c)

enum { vector_processor_name_size = 49 };
// Its name as it gives it, ended by a zero; empty where it gives none.
void vector_processor_name(char *name /* vector_processor_name_size */);

// MARK: instruction sets (instruction_set.c)

// The sets that the loops are built for and that this processor has, the plainest first: "any", on x86-64 also its levels "v3" (AVX2,
// FMA, F16C) and "v4" (AVX-512).
size_t vector_instruction_sets(void);
const char *vector_instruction_set_name(size_t set);
// Loops run with the last, or with the one that the environment variable TI_GPU_INSTRUCTION_SET named when the program started.
// Whether it named one that is not here.
bool vector_instruction_set_is_missing(void);

// MARK: elementwise (elementwise.c)

// Rounds to nearest even where `y` is narrower.
void vector_convert(void *y, vector_type y_type, const void *x, vector_type x_type, size_t count);
// y = a + b; y may be a or b
void vector_add(void *y, const void *a, const void *b, vector_type type, size_t count);
// y = a + b + c + d, where all but a may be null
void vector_add4(void *y, const void *a, const void *b, const void *c, const void *d, vector_type type, size_t count);
// y = a x + b z
void vector_weighted_sum(void *y, vector_type type, const float *x, const float *z, float a, float b, size_t count);
// y = f(x); dx = dy f'(x)
void vector_activate(vector_activation f, void *y, const void *x, vector_type type, size_t count);
void vector_activate_backward(vector_activation f, void *dx, const void *dy, const void *x, vector_type type,
                              size_t count);
// Rows [value, gate] of 2 x `channels`: y = value gelu(gate)
void vector_geglu(void *y, const void *x, vector_type type, size_t rows, size_t channels);
void vector_geglu_backward(void *dx, const void *dy, const void *x, vector_type type, size_t rows, size_t channels);
// sum(w e(d)), d = prediction - target, of whole places of `channels`: `weights` has one w a place, or is null for ones; e(d) = d²,
// and with huber = c > 0 it is 2c (√(d² + c²) - c)
double vector_prediction_loss(const void *prediction, vector_type type, const float *target, const float *weights,
                              size_t channels, float huber, size_t count);
// dx = scale w e'(d) / 2
void vector_prediction_loss_backward(void *dx, const void *prediction, vector_type type, const float *target,
                                     const float *weights, size_t channels, float huber, float scale, size_t count);

// MARK: normalization (normalization.c)

// Over rows of `channels`, for each channel: sum and squared deviation from the mean, as doubles, of these rows.
void vector_channel_moments(const void *x, vector_type type, size_t rows, size_t channels, double *mean,
                            double *deviation, float *scratch /* 3 x channels */);
// y = f((x - mean) factor + shift) with one of each a channel; f is the identity or SiLU
void vector_normalize_channels(void *y, const void *x, vector_type type, size_t rows, size_t channels,
                               const float *mean, const float *factor, const float *shift, bool silu);
// With x̂ = (x - mean) r and g = dy f'(x̂ scale + shift) scale: adds g and g x̂ of these rows up, a channel each.
void vector_normalize_channels_sums(const void *dy, const void *x, vector_type type, size_t rows, size_t channels,
                                    const float *mean, const float *r, const float *scale, const float *shift,
                                    bool silu, double *sum, double *product, float *scratch /* 2 x channels */);
// dx = r (g - sum - x̂ product) + residual, where `sum` and `product` are the means of g and g x̂ over a channel's group
void vector_normalize_channels_backward(void *dx, const void *dy, const void *x, const void *residual, vector_type type,
                                        size_t rows, size_t channels, const float *mean, const float *r,
                                        const float *scale, const float *shift, bool silu, const float *sum,
                                        const float *product);
void vector_layer_norm(void *y, float *mean, float *r, const void *x, vector_type type, size_t rows, size_t channels,
                       const float *scale, const float *shift, float epsilon, float *scratch /* channels */);
void vector_layer_norm_backward(void *dx, const void *dy, const void *x, const void *residual, vector_type type,
                                size_t rows, size_t channels, const float *scale, const float *mean, const float *r,
                                float *scratch /* 2 x channels */);

// MARK: embedding rows (embedding.c)

// y = row + position
void vector_embed(void *y, vector_type type, const void *row, vector_type row_type, const void *position,
                  vector_type position_type, size_t count);
// y += scale x
void vector_accumulate(float *y, const void *x, vector_type type, float scale, size_t count);

// MARK: products with frozen weights (product.c)
//
// y[pixel][n] = f(sum over taps and c of x[pixel at tap][c] w[n][c][tap] + bias[n]) + residual, over NHWC: a convolution, its
// gradient, or with one pixel a row a matmul. An element's sum is taken in one order whatever part of y a call computes.

typedef struct {
  size_t batch, height, width, inputs;    // x
  size_t out_height, out_width, outputs;  // y
  size_t kernel, stride, padding;         // padding above and to the left
  // Whether this is the gradient of a product's input: x is its dy, y its dx, stride and padding its own.
  bool backward;
  // Whether it is computed by Winograd's F(2x2, 3x3): kernel 3, stride and padding 1; its weights take 16/9 of the memory.
  bool winograd;
  vector_type weights;
} vector_product;

typedef struct {
  const float *bias;     // null for none
  int activation;        // a vector_activation, or -1
  const void *residual;  // of y's type; null for none
  bool residual_is_row;  // one row of channels a sample, or a tensor of y's shape
} vector_epilogue;

// Whether the products are worth using: not where the compiler was told not to optimize.
bool vector_product_is_fast(void);
// Channels of a panel: as many panels as `outputs` take are packed, and computed.
size_t vector_product_panel(void);
// Weights are packed for the product and serve its gradient as they are.
size_t vector_product_packed_bytes(const vector_product *p);
// Packs one panel of w, where the weight of output n, input c and tap t is at n * output_stride + c * input_stride + t * tap_stride.
void vector_product_pack(const vector_product *p, const float *w, size_t output_stride, size_t input_stride,
                         size_t tap_stride, size_t panel, void *packed);
// What a call computes is counted in places: pixels (rows) of y, by Winograd tiles of 2x2 pixels.
size_t vector_product_places(const vector_product *p);
// Places that a call computes at most.
enum { vector_product_places_at_once = 256 };
size_t vector_product_scratch_floats(const vector_product *p, size_t places, size_t panels);
// Places `first` to `first + count` of y in the channels of `panels` panels from `first_panel` on.
void vector_product_compute(const vector_product *p, const float *x, const void *packed,
                            const vector_epilogue *epilogue, void *y, vector_type type, size_t first, size_t count,
                            size_t first_panel, size_t panels, float *scratch);

// MARK: attention (attention.c)
//
// All of one head: `q`, `k`, `v`, `o` and their gradients point at the head's first number, rows are `heads * dimension` apart.
// Packed operands are laid out for the running processor's vectors. A head's work is cut by its caller, into tiles of queries
// (forward) and into segments of queries and keys (backward); each piece is computed by one thread.

typedef struct {
  size_t queries, keys, heads, dimension;
  bool causal;
  float scale;
  vector_type type;  // of q, k, v, o and their gradients
} vector_attention;

// Queries that a forward tile takes at most.
enum { vector_attention_tile = 64 };

// Floats of memory for: what forward packs of a head; scratch of one forward tile; what backward packs of a head; scratch of
// one backward segment; one row of a gradient's partial sums.
size_t vector_attention_forward_packed(const vector_attention *a);
size_t vector_attention_forward_scratch(const vector_attention *a);
size_t vector_attention_backward_packed(const vector_attention *a);
size_t vector_attention_backward_scratch(const vector_attention *a);
size_t vector_attention_padded_dimension(const vector_attention *a);

void vector_attention_forward_pack(const vector_attention *a, const void *k, const void *v, float *packed);
// Queries `first` to `first + count` (at most a tile): their rows of o and their log-sum-exp, indexed from the head's first query.
void vector_attention_forward(const vector_attention *a, const void *q, const float *packed, void *o,
                              float *log_sum_exp, size_t first, size_t count, float *scratch);

void vector_attention_backward_pack(const vector_attention *a, const void *q, const void *k, const void *v,
                                    const void *dy, float *packed);
// sum of dy o over each row, `queries` of them
void vector_attention_row_products(const vector_attention *a, const void *dy, const void *o, float *products);

typedef struct {
  size_t first_query, query_count, first_key, key_count;
} vector_attention_segment;

// The part of the gradients that the segment's queries and keys make of each other. `dq`, `dk` and `dv` are partial sums in rows
// of the padded dimension, indexed from the head's first query or key; the segment's rows are written whole. `dq` comes
// without the factor `scale`, and so does `dk`. Null where a gradient is not asked for (`dk` and `dv` go together).
void vector_attention_backward(const vector_attention *a, vector_attention_segment segment, const float *packed,
                               const float *log_sum_exp, const float *products, float *dq, float *dk, float *dv,
                               float *scratch);
// gradient = factor * (sum of `count` partial sums, `stride` floats apart), for `rows` rows
void vector_attention_gather(const vector_attention *a, void *gradient, const float *partial, size_t stride,
                             size_t count, size_t rows, float factor);
