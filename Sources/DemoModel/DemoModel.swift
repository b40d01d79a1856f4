import Foundation

/// A small, real model of Stable Diffusion 1.x's layout and example concepts to teach it; see Tools/demo-model/README.md.
public enum DemoModel {
  /// The folder of the resources.
  private static var resources: URL { Bundle.module.bundleURL.appendingPathComponent("Resources") }

  /// The model, a folder in diffusers' layout.
  public static var model: URL { resources.appendingPathComponent("model") }

  /// The example concepts, a folder of pictures each.
  public static var concepts: URL { resources.appendingPathComponent("concepts") }
}
