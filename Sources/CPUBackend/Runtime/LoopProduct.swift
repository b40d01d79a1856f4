import CVectorLoops
import Operators
import Tensors

/// Products by the loops in C: packed panels of weights, tiles of rows and panels spread over threads.
extension CPUBackend {
  /// Weights, float32 in the plain order of the forward product `shape`, in panels that both directions read.
  func packForLoops(
    _ shape: ProductShape, _ weights: [Float], _ type: ElementType, _ operation: String
  ) throws(OperationError) -> CPUStorage {
    var c = shape.loop(type)
    let storage = try pool.allocate(vector_product_packed_bytes(&c), for: operation)
    let taps = shape.kernel * shape.kernel
    weights.withUnsafeBufferPointer { values in
      parallel(panels(shape)) { panel in
        var c = shape.loop(type)
        vector_product_pack(&c, values.baseAddress, shape.inputs * taps, taps, 1, panel, storage.pointer)
      }
    }
    return storage
  }

  /// `x` is float32; `y` is of the epilogue's type.
  func runLoops(
    _ shape: ProductShape, _ x: Tensor<CPUStorage>, _ weights: CPUStorage, _ type: ElementType, _ epilogue: Epilogue,
    _ y: Tensor<CPUStorage>, _ operation: String
  ) throws(OperationError) {
    var c = shape.loop(type)
    let places = vector_product_places(&c)
    // A block of weights that has to be transposed serves as many places as a call takes; Winograd has sixteen sums to a place.
    let (placeBlock, channels) =
      c.winograd ? (64, 192) : c.backward ? (Int(vector_product_places_at_once), 192) : (64, 384)
    let placeBlocks = (places + placeBlock - 1) / placeBlock
    // The sums stay in the second-level cache. Fewer channels where there would be less than three pieces a core: how the result is
    // cut changes no sum.
    let panels = panels(shape)
    let width = vector_product_panel()
    let wanted = max(
      (panels * width + channels - 1) / channels, (3 * coreCount + placeBlocks - 1) / max(1, placeBlocks))
    let panelBlock = max(3, ((panels + wanted - 1) / wanted + 2) / 3 * 3)
    let panelBlocks = (panels + panelBlock - 1) / panelBlock
    let scratchFloats = vector_product_scratch_floats(&c, min(placeBlock, places), panelBlock)
    // Pieces that follow each other share their weights, the larger operand where it matters.
    parallel(placeBlocks * panelBlocks) { piece in
      var c = shape.loop(type)
      let (block, place) = (piece / placeBlocks * panelBlock, piece % placeBlocks * placeBlock)
      var finish = vector_epilogue(
        bias: epilogue.bias.map { UnsafePointer($0.floats) }, activation: epilogue.activation?.number ?? -1,
        residual: epilogue.residual.map { UnsafeRawPointer($0.tensor.bytes) }, residual_is_row: false)
      if case .channels = epilogue.residual { finish.residual_is_row = true }
      withScratch(scratchFloats) { scratch in
        vector_product_compute(
          &c, x.floats, weights.pointer, &finish, y.bytes, y.type.vector, place, min(placeBlock, places - place),
          block, min(panelBlock, panels - block), scratch)
      }
    }
  }

  private func panels(_ shape: ProductShape) -> Int {
    (shape.outputs + vector_product_panel() - 1) / vector_product_panel()
  }
}

extension ProductShape {
  /// The product as the loops have it, over weights of the given type.
  fileprivate func loop(_ type: ElementType) -> vector_product {
    vector_product(
      batch: batch, height: height, width: width, inputs: inputs, out_height: outHeight, out_width: outWidth,
      outputs: outputs, kernel: kernel, stride: stride, padding: leadingPadding,
      backward: isBackward, winograd: type == .float32 && suitsWinograd, weights: type.vector)
  }

  /// Whether Winograd's form is worth 16/9 of the memory: it halves a convolution's time, but a model's widest layers hold most of
  /// its filters and see its smallest pictures. The bounds take in the upper levels of Stable Diffusion's UNets.
  private var suitsWinograd: Bool {
    let isConvolution = operation == .convolution || operation == .convolutionBackward
    return isConvolution && kernel == 3 && stride == 1 && leadingPadding == 1 && trailingPadding == 1
      && (160...640).contains(min(inputs, outputs))
  }
}
