import Tensors

/// A backend that holds every call against its contract before another carries it out: programs build models on one, so that a
/// tensor that does not fit is an error that says so, the same on every device, and never a read beyond its end.
public final class Checked<B: Backend>: Decorated<B> {
  public override func willPerform(_ call: some OperationCall) throws(OperationError) { _ = try call.results() }
}
