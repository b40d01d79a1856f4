import Foundation

/// A small, real model of Stable Diffusion 1.x's layout and example concepts to teach it; see Tools/demo-model/README.md.
public enum DemoModel {
  /// The folder of the resources: beside the program where it was built or taken to, else where the sources lie. The accessor
  /// that the package manager makes would end a process that has neither.
  private static let resources: URL = {
    let beside = Bundle.main.bundleURL.appendingPathComponent("ti-gpu_DemoModel")
    let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let folders = [beside.appendingPathExtension("resources"), beside.appendingPathExtension("bundle"), sources]
      .map { $0.appendingPathComponent("Resources") }
    return folders.first { FileManager.default.fileExists(atPath: $0.path) } ?? folders[0]
  }()

  /// The model, a folder in diffusers' layout; it is not there where the program was taken away from its resources.
  public static var model: URL { resources.appendingPathComponent("model") }

  /// The example concepts, a folder of pictures each.
  public static var concepts: URL { resources.appendingPathComponent("concepts") }
}
