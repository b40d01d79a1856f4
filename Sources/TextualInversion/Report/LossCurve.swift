import Foundation
import Images
import Tensors

/// A run's loss over its steps, as a picture.
public enum LossCurve {
  /// A PNG of the losses and of their running mean, which is what can be read: single steps differ by their timestep most.
  ///
  /// - Parameter losses: by their steps.
  public static func png(_ losses: [(x: Double, y: Double)], title: String) throws(UserError) -> Data {
    try LineChart(title: title, xLabel: "step", yLabel: "loss", points: losses).picture.encodedPNG()
  }
}
