import Operators
import Tensors

/// What is done to the work of a `Tampered` backend.
public final class Tampering {
  /// Told every operation and transfer by its name, such as `Linear.forward`, before it is done; what it throws, the backend throws.
  public var fault: (_ operation: String) throws(OperationError) -> Void = { _ throws(OperationError) in }
  /// What a download gives in place of what was computed.
  public var download: (HostTensor) -> HostTensor = { $0 }
  /// Told prediction and target of every loss.
  public var loss: ((_ prediction: HostTensor, _ target: HostTensor) -> Void)?

  public init() {}
}

/// A backend that does another's work, but for what a test does to it: a device that is lost, memory that is not there, numbers
/// that are none.
public final class Tampered<B: Backend>: Decorated<B> {
  private let tampering: Tampering

  public init(_ backend: B, _ tampering: Tampering) {
    self.tampering = tampering
    super.init(backend)
  }

  public override func willPerform(_ call: some OperationCall) throws(OperationError) {
    let kind = type(of: call)
    if kind.pass != .loading { try tampering.fault("\(kind.name)") }
  }

  public override func download(_ tensor: Tensor<Storage>) throws(OperationError) -> HostTensor {
    tampering.download(try super.download(tensor))
  }

  public override func forward(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    if let told = tampering.loss {
      told(try backend.download(prediction), try backend.download(target))
    }
    return try super.forward(op, prediction: prediction, target: target, weights: weights)
  }
}
