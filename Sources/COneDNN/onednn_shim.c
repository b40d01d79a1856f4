#include "onednn_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

// MARK: the two interfaces

// A memory descriptor is a struct passed by address in 2.x, an opaque handle in 3.x. Here it is an owned pointer in both.
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t owned_desc;
typedef const_dnnl_memory_desc_t desc;
#else
typedef dnnl_memory_desc_t *owned_desc;
typedef const dnnl_memory_desc_t *desc;
#endif

static void desc_destroy(owned_desc d) {
#if DNNL_VERSION_MAJOR >= 3
  if (d) dnnl_memory_desc_destroy(d);
#else
  free(d);
#endif
}

static dnnl_status_t desc_create(owned_desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
#else
  *d = malloc(sizeof **d);
  return *d ? dnnl_memory_desc_init_by_tag(*d, rank, dims, type, tag) : dnnl_out_of_memory;
#endif
}

static dnnl_status_t desc_copy(owned_desc *d, desc source) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_clone(d, source);
#else
  *d = malloc(sizeof **d);
  if (*d) **d = *source;
  return *d ? dnnl_success : dnnl_out_of_memory;
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum(operations, 1);
#endif
}

typedef struct {
  owned_desc source, weights, bias, target;
} descs;

static dnnl_status_t matmul_create(dnnl_primitive_desc_t *primitive, dnnl_engine_t engine, const descs *d,
                                   const_dnnl_primitive_attr_t attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create(primitive, engine, d->source, d->weights, d->bias, d->target, attributes);
#else
  dnnl_matmul_desc_t operation;
  dnnl_status_t status = dnnl_matmul_desc_init(&operation, d->source, d->weights, d->bias, d->target);
  return status ? status : dnnl_primitive_desc_create(primitive, &operation, attributes, engine, NULL);
#endif
}

static dnnl_status_t convolution_create(dnnl_primitive_desc_t *primitive, dnnl_engine_t engine, const descs *d,
                                        const dnnl_dims_t strides, const dnnl_dims_t leading,
                                        const dnnl_dims_t trailing, const_dnnl_primitive_attr_t attributes) {
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilations = {0, 0};
  return dnnl_convolution_forward_primitive_desc_create(primitive, engine, dnnl_forward_inference,
                                                        dnnl_convolution_direct, d->source, d->weights, d->bias,
                                                        d->target, strides, dilations, leading, trailing, attributes);
#else
  dnnl_convolution_desc_t operation;
  dnnl_status_t status =
      dnnl_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct, d->source,
                                         d->weights, d->bias, d->target, strides, leading, trailing);
  return status ? status : dnnl_primitive_desc_create(primitive, &operation, attributes, engine, NULL);
#endif
}

// `d->source` is dy, `d->target` is dx.
static dnnl_status_t convolution_backward_create(dnnl_primitive_desc_t *primitive, dnnl_engine_t engine, const descs *d,
                                                 const dnnl_dims_t strides, const dnnl_dims_t leading,
                                                 const dnnl_dims_t trailing, const_dnnl_primitive_attr_t attributes,
                                                 const_dnnl_primitive_desc_t forward) {
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilations = {0, 0};
  return dnnl_convolution_backward_data_primitive_desc_create(primitive, engine, dnnl_convolution_direct, d->target,
                                                              d->weights, d->source, strides, dilations, leading,
                                                              trailing, forward, attributes);
#else
  dnnl_convolution_desc_t operation;
  dnnl_status_t status = dnnl_convolution_backward_data_desc_init(&operation, dnnl_convolution_direct, d->target,
                                                                  d->weights, d->source, strides, leading, trailing);
  return status ? status : dnnl_primitive_desc_create(primitive, &operation, attributes, engine, forward);
#endif
}

static bool desc_equal(desc a, desc b) { return dnnl_memory_desc_equal(a, b) != 0; }

// MARK: the engine

struct onednn_engine {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  // The layouts met so far; a layout's number is its place here.
  owned_desc *layouts;
  int layout_count;
  char error[256];
};

struct onednn_product {
  onednn_engine *engine;
  dnnl_primitive_t primitive;
  // Brings the weights into a layout that the primitive takes, into scratch memory; null where they are in it already.
  dnnl_primitive_t reorder;
  size_t reordered_bytes;
  dnnl_memory_t source, packed, weights, bias, target, scratch;
  bool is_backward;
};

static onednn_status fail(onednn_engine *engine, const char *call, dnnl_status_t status) {
  const char *words = status == dnnl_out_of_memory       ? "out of memory"
                      : status == dnnl_unimplemented     ? "not implemented for these sizes on this machine"
                      : status == dnnl_invalid_arguments ? "invalid arguments"
                                                         : "failed";
  snprintf(engine->error, sizeof engine->error, "%s: %s (status %d)", call, words, (int)status);
  return status == dnnl_out_of_memory   ? onednn_out_of_memory
         : status == dnnl_unimplemented ? onednn_unimplemented
                                        : onednn_failure;
}

void onednn_version(int *major, int *minor, int *patch) {
  const dnnl_version_t *version = dnnl_version();
  *major = version->major;
  *minor = version->minor;
  *patch = version->patch;
}

onednn_status onednn_engine_create(onednn_engine **result) {
  *result = NULL;
  onednn_engine *engine = calloc(1, sizeof *engine);
  if (!engine) return onednn_out_of_memory;
  if (dnnl_engine_create(&engine->engine, dnnl_cpu, 0) ||
      dnnl_stream_create(&engine->stream, engine->engine, dnnl_stream_default_flags)) {
    onednn_engine_destroy(engine);
    return onednn_failure;
  }
  *result = engine;
  return onednn_success;
}

void onednn_engine_destroy(onednn_engine *engine) {
  if (!engine) return;
  for (int i = 0; i < engine->layout_count; ++i) desc_destroy(engine->layouts[i]);
  free(engine->layouts);
  if (engine->stream) dnnl_stream_destroy(engine->stream);
  if (engine->engine) dnnl_engine_destroy(engine->engine);
  free(engine);
}

const char *onednn_error(const onednn_engine *engine) { return engine->error; }

static dnnl_status_t intern(onednn_engine *engine, desc layout, int *number) {
  for (*number = 0; *number < engine->layout_count; ++*number)
    if (desc_equal(engine->layouts[*number], layout)) return dnnl_success;
  owned_desc *grown = realloc(engine->layouts, (size_t)(engine->layout_count + 1) * sizeof *grown);
  if (!grown) return dnnl_out_of_memory;
  engine->layouts = grown;
  dnnl_status_t status = desc_copy(&grown[engine->layout_count], layout);
  if (status == dnnl_success) ++engine->layout_count;
  return status;
}

// MARK: descriptors of a shape

static dnnl_data_type_t data_type(onednn_element element) {
  return element == onednn_float32 ? dnnl_f32 : element == onednn_float16 ? dnnl_f16 : dnnl_bf16;
}

static bool is_matmul(const onednn_shape *s) {
  return s->operation == onednn_matmul || s->operation == onednn_matmul_transposed;
}

static int weights_rank(const onednn_shape *s) { return is_matmul(s) ? 2 : 4; }

static void weights_dims(const onednn_shape *s, dnnl_dims_t dims) {
  if (is_matmul(s)) {
    dims[0] = s->inputs;
    dims[1] = s->outputs;
    return;
  }
  const bool backward = s->operation == onednn_convolution_backward;
  dims[0] = backward ? s->inputs : s->outputs;
  dims[1] = backward ? s->outputs : s->inputs;
  dims[2] = dims[3] = s->kernel;
}

// The order that the caller's weights are in.
static dnnl_format_tag_t plain_tag(const onednn_shape *s) {
  return s->operation == onednn_matmul ? dnnl_ba : s->operation == onednn_matmul_transposed ? dnnl_ab : dnnl_abcd;
}

static void descs_destroy(descs *d) {
  desc_destroy(d->source);
  desc_destroy(d->weights);
  desc_destroy(d->bias);
  desc_destroy(d->target);
}

// With weights in `layout`, or in any that the library likes where that is null.
static dnnl_status_t descs_create(descs *d, const onednn_shape *s, desc layout) {
  memset(d, 0, sizeof *d);
  const dnnl_data_type_t type = data_type(s->element);
  const int rank = weights_rank(s);
  dnnl_dims_t weights;
  weights_dims(s, weights);
  dnnl_status_t status =
      layout ? desc_copy(&d->weights, layout) : desc_create(&d->weights, rank, weights, type, dnnl_format_tag_any);
  if (status) return status;
  const dnnl_dims_t source = {s->batch, s->inputs, s->height, s->width};
  const dnnl_dims_t target = {s->batch, s->outputs, s->out_height, s->out_width};
  const dnnl_dims_t matmul_bias = {1, s->outputs}, bias = {s->outputs};
  if ((status = desc_create(&d->source, rank, source, type, rank == 2 ? dnnl_ab : dnnl_nhwc))) return status;
  if ((status = desc_create(&d->target, rank, target, type, rank == 2 ? dnnl_ab : dnnl_nhwc))) return status;
  if (!s->has_bias) return dnnl_success;
  return rank == 2 ? desc_create(&d->bias, 2, matmul_bias, dnnl_f32, dnnl_ab)
                   : desc_create(&d->bias, 1, bias, dnnl_f32, dnnl_a);
}

static dnnl_status_t create_with(onednn_engine *engine, const onednn_shape *s, const descs *d,
                                 const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *primitive) {
  if (is_matmul(s)) return matmul_create(primitive, engine->engine, d, attributes);
  const dnnl_dims_t strides = {s->stride, s->stride};
  const dnnl_dims_t leading = {s->leading_padding, s->leading_padding};
  const dnnl_dims_t trailing = {s->trailing_padding, s->trailing_padding};
  if (s->operation == onednn_convolution)
    return convolution_create(primitive, engine->engine, d, strides, leading, trailing, attributes);
  // The library asks for the forward convolution that the gradient belongs to.
  const descs turned = {.source = d->target, .weights = d->weights, .bias = NULL, .target = d->source};
  dnnl_primitive_desc_t forward = NULL;
  dnnl_status_t status = convolution_create(&forward, engine->engine, &turned, strides, leading, trailing, NULL);
  if (status) return status;
  status = convolution_backward_create(primitive, engine->engine, d, strides, leading, trailing, attributes, forward);
  dnnl_primitive_desc_destroy(forward);
  return status;
}

static dnnl_status_t primitive_desc_create(onednn_engine *engine, const onednn_shape *s, desc layout,
                                           dnnl_primitive_desc_t *primitive) {
  *primitive = NULL;
  descs d;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t operations = NULL;
  dnnl_status_t status = descs_create(&d, s, layout);
  if (!status) status = dnnl_primitive_attr_create(&attributes);
  if (!status) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (!status && s->accumulates) {
    status = dnnl_post_ops_create(&operations);
    if (!status) status = append_sum(operations);
    if (!status) status = dnnl_primitive_attr_set_post_ops(attributes, operations);
  }
  if (!status) status = create_with(engine, s, &d, attributes, primitive);
  if (operations) dnnl_post_ops_destroy(operations);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  descs_destroy(&d);
  return status;
}

static const char *implementation_of(const_dnnl_primitive_desc_t primitive) {
  const char *name = NULL;
  dnnl_primitive_desc_query(primitive, dnnl_query_impl_info_str, 0, &name);
  return name ? name : "";
}

static bool is_reference(const_dnnl_primitive_desc_t primitive) {
  return strncmp(implementation_of(primitive), "ref", 3) == 0;
}

// MARK: layouts

onednn_status onednn_preferred_layout(onednn_engine *engine, const onednn_shape *shape, int *layout, size_t *bytes) {
  dnnl_primitive_desc_t primitive;
  dnnl_status_t status = primitive_desc_create(engine, shape, NULL, &primitive);
  if (status) return fail(engine, "creating a product", status);
  // The plain loops of the reference code are a hundred times slower than float32 arithmetic on converted numbers.
  if (shape->element != onednn_float32 && is_reference(primitive)) {
    dnnl_primitive_desc_destroy(primitive);
    return fail(engine, "creating a product", dnnl_unimplemented);
  }
  desc weights = dnnl_primitive_desc_query_md(primitive, dnnl_query_weights_md, 0);
  status = intern(engine, weights, layout);
  *bytes = dnnl_memory_desc_get_size(weights);
  dnnl_primitive_desc_destroy(primitive);
  return status ? fail(engine, "keeping a layout", status) : onednn_success;
}

static dnnl_status_t reorder_create(onednn_engine *engine, desc from, desc to, dnnl_primitive_t *primitive) {
  dnnl_primitive_desc_t description;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&description, from, engine->engine, to, engine->engine, NULL);
  if (status) return status;
  status = dnnl_primitive_create(primitive, description);
  dnnl_primitive_desc_destroy(description);
  return status;
}

static dnnl_status_t reorder_execute(onednn_engine *engine, dnnl_primitive_t primitive, dnnl_memory_t from,
                                     dnnl_memory_t to) {
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  dnnl_status_t status = dnnl_primitive_execute(primitive, engine->stream, 2, arguments);
  return status ? status : dnnl_stream_wait(engine->stream);
}

onednn_status onednn_pack(onednn_engine *engine, const onednn_shape *shape, int layout, const float *weights,
                          void *packed) {
  if (layout < 0 || layout >= engine->layout_count) return fail(engine, "packing", dnnl_invalid_arguments);
  owned_desc plain = NULL;
  dnnl_dims_t dims;
  weights_dims(shape, dims);
  dnnl_primitive_t reorder = NULL;
  dnnl_memory_t from = NULL, to = NULL;
  dnnl_status_t status = desc_create(&plain, weights_rank(shape), dims, dnnl_f32, plain_tag(shape));
  if (!status) status = reorder_create(engine, plain, engine->layouts[layout], &reorder);
  if (!status) status = dnnl_memory_create(&from, plain, engine->engine, (void *)weights);
  if (!status) status = dnnl_memory_create(&to, engine->layouts[layout], engine->engine, packed);
  if (!status) status = reorder_execute(engine, reorder, from, to);
  if (to) dnnl_memory_destroy(to);
  if (from) dnnl_memory_destroy(from);
  if (reorder) dnnl_primitive_destroy(reorder);
  desc_destroy(plain);
  return status ? fail(engine, "packing weights", status) : onednn_success;
}

// MARK: products

static dnnl_status_t memory_create(onednn_engine *engine, const_dnnl_primitive_desc_t p, dnnl_query_t what, int index,
                                   dnnl_memory_t *memory) {
  desc d = dnnl_primitive_desc_query_md(p, what, index);
  *memory = NULL;
  return d ? dnnl_memory_create(memory, d, engine->engine, DNNL_MEMORY_NONE) : dnnl_runtime_error;
}

// Where the library would take the weights in another layout only, or would fall back to its plain loops over this one,
// the product reorders them at each execution: slow, but right.
static dnnl_status_t product_prepare(onednn_engine *engine, const onednn_shape *shape, desc layout,
                                     dnnl_primitive_desc_t *primitive, onednn_product *product, size_t *scratch_bytes) {
  dnnl_status_t status = primitive_desc_create(engine, shape, layout, primitive);
  if (status || is_reference(*primitive)) {
    dnnl_primitive_desc_t preferred;
    dnnl_status_t second = primitive_desc_create(engine, shape, NULL, &preferred);
    if (second) return status ? status : dnnl_success;
    if (*primitive) dnnl_primitive_desc_destroy(*primitive);
    *primitive = preferred;
  }
  desc wanted = dnnl_primitive_desc_query_md(*primitive, dnnl_query_weights_md, 0);
  if (!desc_equal(wanted, layout)) {
    status = reorder_create(engine, layout, wanted, &product->reorder);
    if (status) return status;
    product->reordered_bytes = (dnnl_memory_desc_get_size(wanted) + 63) / 64 * 64;
  }
  const bool backward = product->is_backward;
  status = dnnl_memory_create(&product->packed, layout, engine->engine, DNNL_MEMORY_NONE);
  if (!status) status = memory_create(engine, *primitive, dnnl_query_weights_md, 0, &product->weights);
  if (!status)
    status =
        memory_create(engine, *primitive, backward ? dnnl_query_diff_dst_md : dnnl_query_src_md, 0, &product->source);
  if (!status)
    status =
        memory_create(engine, *primitive, backward ? dnnl_query_diff_src_md : dnnl_query_dst_md, 0, &product->target);
  if (!status && shape->has_bias) status = memory_create(engine, *primitive, dnnl_query_weights_md, 1, &product->bias);
  if (!status) status = memory_create(engine, *primitive, dnnl_query_scratchpad_md, 0, &product->scratch);
  if (!status) status = dnnl_primitive_create(&product->primitive, *primitive);
  if (status) return status;
  *scratch_bytes = product->reordered_bytes +
                   dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(*primitive, dnnl_query_scratchpad_md, 0));
  return dnnl_success;
}

onednn_status onednn_product_create(onednn_engine *engine, const onednn_shape *shape, int layout,
                                    onednn_product **result, size_t *scratch_bytes) {
  *result = NULL;
  if (layout < 0 || layout >= engine->layout_count) return fail(engine, "creating a product", dnnl_invalid_arguments);
  onednn_product *product = calloc(1, sizeof *product);
  if (!product) return fail(engine, "creating a product", dnnl_out_of_memory);
  product->engine = engine;
  product->is_backward = shape->operation == onednn_convolution_backward;
  dnnl_primitive_desc_t primitive = NULL;
  dnnl_status_t status = product_prepare(engine, shape, engine->layouts[layout], &primitive, product, scratch_bytes);
  if (primitive) dnnl_primitive_desc_destroy(primitive);
  if (status) {
    onednn_product_destroy(product);
    return fail(engine, "creating a product", status);
  }
  *result = product;
  return onednn_success;
}

void onednn_product_destroy(onednn_product *product) {
  if (!product) return;
  const dnnl_memory_t memories[] = {product->source, product->packed, product->weights,
                                    product->bias,   product->target, product->scratch};
  for (size_t i = 0; i < sizeof memories / sizeof *memories; ++i)
    if (memories[i]) dnnl_memory_destroy(memories[i]);
  if (product->primitive) dnnl_primitive_destroy(product->primitive);
  if (product->reorder) dnnl_primitive_destroy(product->reorder);
  free(product);
}

onednn_status onednn_execute(onednn_product *product, const void *x, const void *packed, const float *bias, void *y,
                             void *scratch) {
  onednn_engine *engine = product->engine;
  void *weights = product->reorder ? scratch : (void *)packed;
  dnnl_status_t status = dnnl_memory_set_data_handle(product->source, (void *)x);
  if (!status) status = dnnl_memory_set_data_handle(product->packed, (void *)packed);
  if (!status) status = dnnl_memory_set_data_handle(product->weights, weights);
  if (!status && product->bias) status = dnnl_memory_set_data_handle(product->bias, (void *)bias);
  if (!status) status = dnnl_memory_set_data_handle(product->target, y);
  if (!status && scratch)
    status = dnnl_memory_set_data_handle(product->scratch, (char *)scratch + product->reordered_bytes);
  if (!status && product->reorder)
    status = reorder_execute(engine, product->reorder, product->packed, product->weights);
  if (status) return fail(engine, "preparing a product", status);
  const bool backward = product->is_backward;
  dnnl_exec_arg_t arguments[5];
  int count = 0;
  arguments[count++] = (dnnl_exec_arg_t){backward ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, product->source};
  arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, product->weights};
  arguments[count++] = (dnnl_exec_arg_t){backward ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, product->target};
  arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, product->scratch};
  if (product->bias) arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, product->bias};
  status = dnnl_primitive_execute(product->primitive, engine->stream, count, arguments);
  if (!status) status = dnnl_stream_wait(engine->stream);
  return status ? fail(engine, "running a product", status) : onednn_success;
}
