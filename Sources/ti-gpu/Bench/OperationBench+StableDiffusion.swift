import Operators
import Tensors

/// Times the operations of Stable Diffusion 1.5's UNet at 512 px, each shape once, forward and backward.
func benchOperations<B: Backend>(_ backend: B, batchSize: Int = 1) throws(OperationError) -> [OperationTiming] {
  let bench = OperationBench(backend)
  try bench.peaks()
  for item in UNetOperations.convolutions { try bench.convolution(item, batchSize) }
  for item in UNetOperations.linears { try bench.linear(item, batchSize) }
  for item in UNetOperations.attentions { try bench.attention(item, batchSize) }
  for item in UNetOperations.groupNorms { try bench.groupNorm(item, batchSize) }
  for item in UNetOperations.tokens { try bench.tokens(item, batchSize) }
  try bench.moves(batchSize)
  return bench.timings()
}

/// The shapes of Stable Diffusion 1.5's UNet over 64x64 latents, and how often a forward pass runs each.
private enum UNetOperations {
  struct Convolution { let side: Int, inputs: Int, outputs: Int, kernel: Int, stride: Int, count: Int }
  struct Linear { let rows: Int, inputs: Int, outputs: Int, count: Int }
  struct Attention { let queries: Int, keys: Int, headDimension: Int, count: Int }
  struct GroupNorm { let side: Int, channels: Int, hasActivation: Bool, count: Int }
  struct Tokens { let rows: Int, channels: Int, layerNorms: Int, gatedUnits: Int }

  private static func convolution(_ side: Int, _ inputs: Int, _ outputs: Int, stride: Int = 1, _ count: Int)
    -> Convolution
  {
    Convolution(side: side, inputs: inputs, outputs: outputs, kernel: 3, stride: stride, count: count)
  }

  static let convolutions = [
    convolution(64, 4, 320, 1), convolution(64, 320, 320, 7), convolution(64, 640, 320, 2),
    convolution(64, 960, 320, 1), convolution(64, 640, 640, 1), convolution(64, 320, 4, 1),
    convolution(64, 320, 320, stride: 2, 1),
    convolution(32, 320, 640, 1), convolution(32, 640, 640, 6), convolution(32, 960, 640, 1),
    convolution(32, 1280, 640, 1), convolution(32, 1920, 640, 1), convolution(32, 1280, 1280, 1),
    convolution(32, 640, 640, stride: 2, 1),
    convolution(16, 640, 1280, 1), convolution(16, 1280, 1280, 7), convolution(16, 1920, 1280, 1),
    convolution(16, 2560, 1280, 2), convolution(16, 1280, 1280, stride: 2, 1),
    convolution(8, 1280, 1280, 11), convolution(8, 2560, 1280, 3),
  ]

  /// A transformer block has eight layers from its width to itself (two projections, q, k, v and the result of the
  /// self-attention, q and the result of the cross-attention), two from the context, and a feed-forward layer's two.
  static let linears =
    [(4096, 320, 5), (1024, 640, 5), (256, 1280, 5), (64, 1280, 1)].flatMap { (rows, width, blocks) in
      [
        Linear(rows: rows, inputs: width, outputs: width, count: 8 * blocks),
        Linear(rows: rows, inputs: width, outputs: 8 * width, count: blocks),
        Linear(rows: rows, inputs: 4 * width, outputs: width, count: blocks),
      ]
    }
    + [(320, 5), (640, 5), (1280, 6)].map { (width, blocks) in
      Linear(rows: 77, inputs: 768, outputs: width, count: 2 * blocks)
    }

  static let attentions = [(4096, 40, 5), (1024, 80, 5), (256, 160, 5), (64, 160, 1)].flatMap {
    (pixels, headDimension, count) in
    [
      Attention(queries: pixels, keys: pixels, headDimension: headDimension, count: count),
      Attention(queries: pixels, keys: 77, headDimension: headDimension, count: count),
    ]
  }

  static let groupNorms = [
    GroupNorm(side: 64, channels: 320, hasActivation: true, count: 8),
    GroupNorm(side: 64, channels: 320, hasActivation: false, count: 5),
    GroupNorm(side: 64, channels: 960, hasActivation: true, count: 1),
    GroupNorm(side: 32, channels: 640, hasActivation: true, count: 6),
    GroupNorm(side: 16, channels: 1280, hasActivation: true, count: 6),
    GroupNorm(side: 8, channels: 2560, hasActivation: true, count: 3),
  ]

  static let tokens = [
    Tokens(rows: 4096, channels: 320, layerNorms: 15, gatedUnits: 5),
    Tokens(rows: 1024, channels: 640, layerNorms: 15, gatedUnits: 5),
    Tokens(rows: 256, channels: 1280, layerNorms: 15, gatedUnits: 5),
  ]
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
    let op = Attention(heads: 8, headDimension: item.headDimension)
    let (queries, keys): (Shape, Shape) = (
      [batch, item.queries, 8 * item.headDimension], [batch, item.keys, 8 * item.headDimension]
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

  fileprivate func moves(_ batch: Int) throws(OperationError) {
    let picture = try tensor([batch, 64, 64, 320])
    let (small, wide) = (try tensor([batch, 32, 32, 640]), try tensor([batch, 64, 64, 640]))
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
    try measure("add", "\(picture.shape)", count: 5, moved(3 * picture.byteCount, flop: picture.shape.count)) {
      () throws(OperationError) in try backend.add(picture, picture)
    }
  }
}
