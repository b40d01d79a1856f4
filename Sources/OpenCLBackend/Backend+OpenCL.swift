import Operators
import Tensors

/// Every family is there, so models run on it.
extension OpenCLBackend: Backend {
  public func dryRun() throws(OperationError) -> OpenCLBackend {
    var options = Options()
    options.isDryRun = true
    return try OpenCLBackend(device: device, precision: precision, kernelForm: kernelForm, options: options)
  }
}
