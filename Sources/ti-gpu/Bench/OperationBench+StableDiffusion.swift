import Operators
import StableDiffusion
import Tensors

/// Times the operations of a UNet, each shape of a level once, forward and backward.
func benchOperations<B: Backend>(_ backend: B, _ operations: UNetOperations, batchSize: Int = 1)
  throws(OperationError) -> [OperationTiming]
{
  let bench = OperationBench(backend)
  try bench.peaks()
  for item in operations.convolutions { try bench.convolution(item, batchSize) }
  for item in operations.linears { try bench.linear(item, batchSize) }
  for item in operations.attentions { try bench.attention(item, batchSize) }
  for item in operations.groupNorms { try bench.groupNorm(item, batchSize) }
  for item in operations.tokens { try bench.tokens(item, batchSize) }
  try bench.moves(side: operations.side, pixelSums: operations.pixelSums, batchSize)
  return bench.timings()
}

/// The shapes of a UNet's operations, and how often a forward pass runs each.
struct UNetOperations: Sendable {
  struct Convolution { let side: Int, inputs: Int, outputs: Int, kernel: Int, stride: Int, count: Int }
  struct Linear { let rows: Int, inputs: Int, outputs: Int, count: Int }
  struct Attention { let queries: Int, keys: Int, heads: Int, headDimension: Int, count: Int }
  struct GroupNorm { let side: Int, channels: Int, hasActivation: Bool, count: Int }
  struct Tokens { let rows: Int, channels: Int, layerNorms: Int, gatedUnits: Int }
  /// A level's transformers: how many, and how many blocks they have together.
  private struct Transformers { let rows: Int, width: Int, heads: Int, count: Int, blocks: Int }

  let name: String
  /// The latents' side.
  let side: Int
  let convolutions: [Convolution]
  let linears: [Linear]
  let attentions: [Attention]
  let groupNorms: [GroupNorm]
  let tokens: [Tokens]
  /// Sums over pixels on the finest level, on the way back: where pooled text takes a gradient.
  let pixelSums: Int

  /// A transformer has two layers from its width to itself, a block six (q, k, v and the result of the self-attention, q and the
  /// result of the cross-attention), two from the context, and a feed-forward layer's two.
  private init(
    _ name: String, side: Int, contextWidth: Int, convolutions: [Convolution], transformers: [Transformers],
    groupNorms: [GroupNorm], pixelSums: Int = 0
  ) {
    self.name = name
    self.side = side
    self.convolutions = convolutions
    linears = transformers.flatMap {
      [
        Linear(rows: $0.rows, inputs: $0.width, outputs: $0.width, count: 6 * $0.blocks + 2 * $0.count),
        Linear(rows: $0.rows, inputs: $0.width, outputs: 8 * $0.width, count: $0.blocks),
        Linear(rows: $0.rows, inputs: 4 * $0.width, outputs: $0.width, count: $0.blocks),
        Linear(rows: 77, inputs: contextWidth, outputs: $0.width, count: 2 * $0.blocks),
      ]
    }
    attentions = transformers.flatMap { level in
      [level.rows, 77].map {
        Attention(
          queries: level.rows, keys: $0, heads: level.heads, headDimension: level.width / level.heads,
          count: level.blocks)
      }
    }
    self.groupNorms = groupNorms
    self.pixelSums = pixelSums
    tokens = transformers.map {
      Tokens(rows: $0.rows, channels: $0.width, layerNorms: 3 * $0.blocks, gatedUnits: $0.blocks)
    }
  }

  private static func convolution(_ side: Int, _ inputs: Int, _ outputs: Int, stride: Int = 1, _ count: Int)
    -> Convolution
  {
    Convolution(side: side, inputs: inputs, outputs: outputs, kernel: 3, stride: stride, count: count)
  }

  /// Those of the model's own UNet, or Stable Diffusion 1.5's.
  static func of(_ shape: ModelShape) -> UNetOperations { shape.unet.added == nil ? sd15 : sdxl }

  /// Stable Diffusion 1.5 at 512 px.
  static let sd15 = UNetOperations(
    "Stable Diffusion 1.5", side: 64, contextWidth: 768,
    convolutions: [
      convolution(64, 4, 320, 1), convolution(64, 320, 320, 7), convolution(64, 640, 320, 2),
      convolution(64, 960, 320, 1), convolution(64, 640, 640, 1), convolution(64, 320, 4, 1),
      convolution(64, 320, 320, stride: 2, 1),
      convolution(32, 320, 640, 1), convolution(32, 640, 640, 6), convolution(32, 960, 640, 1),
      convolution(32, 1280, 640, 1), convolution(32, 1920, 640, 1), convolution(32, 1280, 1280, 1),
      convolution(32, 640, 640, stride: 2, 1),
      convolution(16, 640, 1280, 1), convolution(16, 1280, 1280, 7), convolution(16, 1920, 1280, 1),
      convolution(16, 2560, 1280, 2), convolution(16, 1280, 1280, stride: 2, 1),
      convolution(8, 1280, 1280, 11), convolution(8, 2560, 1280, 3),
    ],
    transformers: [
      Transformers(rows: 4096, width: 320, heads: 8, count: 5, blocks: 5),
      Transformers(rows: 1024, width: 640, heads: 8, count: 5, blocks: 5),
      Transformers(rows: 256, width: 1280, heads: 8, count: 5, blocks: 5),
      Transformers(rows: 64, width: 1280, heads: 8, count: 1, blocks: 1),
    ],
    groupNorms: [
      GroupNorm(side: 64, channels: 320, hasActivation: true, count: 8),
      GroupNorm(side: 64, channels: 320, hasActivation: false, count: 5),
      GroupNorm(side: 64, channels: 960, hasActivation: true, count: 1),
      GroupNorm(side: 32, channels: 640, hasActivation: true, count: 6),
      GroupNorm(side: 16, channels: 1280, hasActivation: true, count: 6),
      GroupNorm(side: 8, channels: 2560, hasActivation: true, count: 3),
    ])

  /// Stable Diffusion XL at 1024 px.
  static let sdxl = UNetOperations(
    "Stable Diffusion XL", side: 128, contextWidth: 2048,
    convolutions: [
      convolution(128, 4, 320, 1), convolution(128, 320, 320, 7), convolution(128, 640, 320, 2),
      convolution(128, 960, 320, 1), convolution(128, 640, 640, 1), convolution(128, 320, 4, 1),
      convolution(128, 320, 320, stride: 2, 1),
      convolution(64, 320, 640, 1), convolution(64, 640, 640, 6), convolution(64, 960, 640, 1),
      convolution(64, 1280, 640, 1), convolution(64, 1920, 640, 1), convolution(64, 1280, 1280, 1),
      convolution(64, 640, 640, stride: 2, 1),
      convolution(32, 640, 1280, 1), convolution(32, 1280, 1280, 10), convolution(32, 1920, 1280, 1),
      convolution(32, 2560, 1280, 2),
    ],
    transformers: [
      Transformers(rows: 4096, width: 640, heads: 10, count: 5, blocks: 10),
      Transformers(rows: 1024, width: 1280, heads: 20, count: 6, blocks: 60),
    ],
    groupNorms: [
      GroupNorm(side: 128, channels: 320, hasActivation: true, count: 8),
      GroupNorm(side: 128, channels: 960, hasActivation: true, count: 1),
      GroupNorm(side: 64, channels: 640, hasActivation: true, count: 6),
      GroupNorm(side: 64, channels: 640, hasActivation: false, count: 5),
      GroupNorm(side: 32, channels: 1280, hasActivation: true, count: 10),
      GroupNorm(side: 32, channels: 2560, hasActivation: true, count: 2),
    ], pixelSums: 5)
}

extension OperationBench {
  /// A matrix product and a sum too large for any cache: they set the peaks, and no step has them.
  fileprivate func peaks() throws(OperationError) {
    let op = Linear(inputs: 2048, outputs: 2048)
    let weights = try backend.pack(
      op, weight: host([2048, 2048], deviation: 0.02), bias: nil, for: .forward)
    let x = try tensor([2048, 2048])
    try measure("peak_matmul", "", count: 0, op.cost(rows: 2048, type: backend.precision)) {
      () throws(OperationError) in
      try backend.forward(op, x, weights: weights, residual: nil)
    }
    let large = try tensor([16 << 20])
    try measure("peak_sum", "", count: 0, moved(3 * large.byteCount, flop: large.shape.count)) {
      () throws(OperationError) in try backend.add(large, large)
    }
  }

  private func moved(_ bytes: Int, flop: Int) -> Cost { Cost(flop: Double(flop), bytes: Double(bytes)) }

  fileprivate func convolution(_ item: UNetOperations.Convolution, _ batch: Int) throws(OperationError) {
    let op = Convolution(inputs: item.inputs, outputs: item.outputs, kernel: item.kernel, stride: item.stride)
    let shape: Shape = [batch, item.side, item.side, item.inputs]
    let taps = item.kernel * item.kernel
    let weights = try backend.pack(
      op,
      weight: host(
        [item.outputs, item.inputs, item.kernel, item.kernel], deviation: 1 / Float(item.inputs * taps).squareRoot()),
      bias: host([item.outputs], deviation: 1), for: .both)
    let name = "\(shape) to \(item.outputs), \(item.kernel)x\(item.kernel)" + (item.stride == 2 ? " stride 2" : "")
    let cost = op.cost(shape, type: backend.precision)
    let x = try tensor(shape)
    try measure("convolution_forward", name, count: item.count, cost) { () throws(OperationError) in
      try backend.forward(op, x, weights: weights, residual: nil)
    }
    let dy = try tensor(op.outputShape(shape))
    try measure("convolution_backward_input", name, count: item.count, cost) { () throws(OperationError) in
      try backend.backwardInput(op, dy, inputShape: shape, weights: weights, residual: nil)
    }
  }

  fileprivate func linear(_ item: UNetOperations.Linear, _ batch: Int) throws(OperationError) {
    let op = Linear(inputs: item.inputs, outputs: item.outputs)
    let weights = try backend.pack(
      op, weight: host([item.outputs, item.inputs], deviation: 1 / Float(item.inputs).squareRoot()),
      bias: host([item.outputs], deviation: 1), for: .both)
    let shape: Shape = [batch, item.rows, item.inputs]
    let name = "\(shape) to \(item.outputs)"
    let cost = op.cost(rows: shape.rows, type: backend.precision)
    let x = try tensor(shape)
    try measure("linear_forward", name, count: item.count, cost) { () throws(OperationError) in
      try backend.forward(op, x, weights: weights, residual: nil)
    }
    let dy = try tensor(shape.withChannels(item.outputs))
    try measure("linear_backward_input", name, count: item.count, cost) { () throws(OperationError) in
      try backend.backwardInput(op, dy, weights: weights, residual: nil)
    }
  }

  fileprivate func attention(_ item: UNetOperations.Attention, _ batch: Int) throws(OperationError) {
    let op = Attention(heads: item.heads, headDimension: item.headDimension)
    let (queries, keys): (Shape, Shape) = (
      [batch, item.queries, item.heads * item.headDimension], [batch, item.keys, item.heads * item.headDimension]
    )
    let (q, k, v) = (try tensor(queries), try tensor(keys), try tensor(keys))
    let name = "\(queries) over \(item.keys) keys, heads of \(item.headDimension)"
    try measure("attention_forward", name, count: item.count, op.cost(q: queries, k: keys, type: backend.precision)) {
      () throws(OperationError) in try backend.forward(op, q: q, k: k, v: v)
    }
    let saved = try backend.forward(op, q: q, k: k, v: v)
    let dy = try tensor(queries)
    try measure(
      "attention_backward_input", name, count: item.count,
      op.backwardCost(q: queries, k: keys, type: backend.precision)
    ) { () throws(OperationError) in
      try backend.backwardInput(op, dy, q: q, k: k, v: v, saved: saved, gradients: .all)
    }
  }

  fileprivate func groupNorm(_ item: UNetOperations.GroupNorm, _ batch: Int) throws(OperationError) {
    let op = GroupNorm(groups: 32, epsilon: 1e-5, activation: item.hasActivation ? .silu : nil)
    let shape: Shape = [batch, item.side, item.side, item.channels]
    let name = "\(shape)" + (item.hasActivation ? ", SiLU" : "")
    let x = try tensor(shape)
    let scale = try backend.upload(host([item.channels], deviation: 1), as: .float32)
    let cost = op.cost(shape, type: backend.precision)
    try measure("group_norm_forward", name, count: item.count, cost) { () throws(OperationError) in
      try backend.forward(op, x, scale: scale, shift: scale).y
    }
    let saved = try backend.forward(op, x, scale: scale, shift: scale).saved
    // Backward reads two tensors and writes one.
    try measure("group_norm_backward_input", name, count: item.count, moved(3 * x.byteCount, flop: 12 * shape.count)) {
      () throws(OperationError) in
      try backend.backwardInput(op, x, x: x, scale: scale, shift: scale, saved: saved, residual: nil)
    }
  }

  fileprivate func tokens(_ item: UNetOperations.Tokens, _ batch: Int) throws(OperationError) {
    let op = LayerNorm(epsilon: 1e-5)
    let shape: Shape = [batch, item.rows, item.channels]
    let x = try tensor(shape)
    let scale = try backend.upload(host([item.channels], deviation: 1), as: .float32)
    try measure("layer_norm_forward", "\(shape)", count: item.layerNorms, op.cost(shape, type: backend.precision)) {
      () throws(OperationError) in try backend.forward(op, x, scale: scale, shift: scale).y
    }
    let saved = try backend.forward(op, x, scale: scale, shift: scale).saved
    try measure(
      "layer_norm_backward_input", "\(shape)", count: item.layerNorms, moved(3 * x.byteCount, flop: 8 * shape.count)
    ) { () throws(OperationError) in
      try backend.backwardInput(op, x, x: x, scale: scale, saved: saved, residual: nil)
    }

    let wide = shape.withChannels(8 * item.channels)
    let gated = try tensor(wide)
    let dy = try tensor(shape.withChannels(4 * item.channels))
    try measure(
      "geglu_forward", "\(wide)", count: item.gatedUnits, moved(gated.byteCount + dy.byteCount, flop: 5 * wide.count)
    ) { () throws(OperationError) in try backend.forward(GEGLU(), gated) }
    try measure(
      "geglu_backward_input", "\(wide)", count: item.gatedUnits,
      moved(2 * gated.byteCount + dy.byteCount, flop: 10 * wide.count)
    ) { () throws(OperationError) in try backend.backwardInput(GEGLU(), dy, x: gated) }
  }

  fileprivate func moves(side: Int, pixelSums: Int, _ batch: Int) throws(OperationError) {
    let picture = try tensor([batch, side, side, 320])
    let (small, wide) = (
      try tensor([batch, side / 2, side / 2, 640]), try tensor([batch, side, side, 640])
    )
    try measure("silu_forward", "[\(batch), 1280]", count: 23, moved(2 * 1280 * batch * 4, flop: 4 * 1280 * batch)) {
      [time = try tensor([batch, 1280])] () throws(OperationError) in try backend.forward(Activation.silu, time)
    }
    try measure(
      "concatenate_channels_forward", "\(wide.shape) and \(picture.shape)", count: 1,
      moved(2 * (wide.byteCount + picture.byteCount), flop: 0)
    ) { () throws(OperationError) in try backend.forward(ConcatenateChannels(), wide, picture) }
    try measure(
      "upsample_forward", "\(small.shape)", count: 1, moved(5 * small.byteCount, flop: 0)
    ) { () throws(OperationError) in try backend.forward(Upsample(), small) }
    try measure(
      "upsample_backward_input", "\(wide.shape)", count: 1,
      moved(wide.byteCount + small.byteCount, flop: wide.shape.count)
    ) { () throws(OperationError) in try backend.backwardInput(Upsample(), wide) }
    try measure(
      "pixel_sum_forward", "\(picture.shape)", count: pixelSums, moved(picture.byteCount, flop: picture.shape.count)
    ) { () throws(OperationError) in try backend.forward(PixelSum(), picture) }
    try measure("add", "\(picture.shape)", count: 5, moved(3 * picture.byteCount, flop: picture.shape.count)) {
      () throws(OperationError) in try backend.add(picture, picture)
    }
  }
}
