import ArgumentParser
import CPUBackend
import OpenCLBackend

/// `ti-gpu devices`: what there is to compute on.
struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the devices that can compute.",
    discussion: "  ti-gpu devices --json")

  @Flag(help: "Print JSON on standard output.")
  var json = false

  private struct Listing: Encodable {
    let cpu: String
    let opencl: [OpenCLDevice]
  }

  func run() throws {
    let listing = Listing(cpu: try CPUBackend(precision: .float32).name, opencl: try OpenCLDevices.list())
    if json { return try Console.json(listing) }
    try Console.result("cpu         \(listing.cpu)")
    for device in listing.opencl {
      try Console.result(
        "\(device.identifier)  \(device.name), \(device.kind.rawValue), \(device.computeUnits) compute units, "
          + "\(device.globalMemory >> 20) MiB, \(device.platform)")
    }
    if listing.opencl.isEmpty {
      try Console.result("no OpenCL device: install your graphics card's OpenCL driver to use it")
    }
  }
}
