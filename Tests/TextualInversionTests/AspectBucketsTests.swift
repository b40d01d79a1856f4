import Foundation
import StableDiffusion
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// Which sizes pictures are brought to: kohya's rule as Tools/reference/aspect_buckets.py states it, on 1000 sizes.
@Suite struct AspectBucketsTests {
  private struct Fixture: Decodable {
    struct Case: Decodable {
      let resolution: Int
      let step: Int
      let pictures: [[Int]]
    }
    let cases: [Case]
  }

  @Test func sizesAreThoseOfKohyasRule() throws {
    let fixture = try JSONDecoder().decode(
      Fixture.self, from: Data(contentsOf: Fixtures.url("aspect_buckets.json")))
    #expect(fixture.cases.reduce(0) { $0 + $1.pictures.count } == 1000)
    for part in fixture.cases {
      let buckets = AspectBuckets(resolution: part.resolution, step: part.step)
      for numbers in part.pictures {
        let size = buckets.size(width: numbers[0], height: numbers[1])
        #expect([size.width, size.height] == Array(numbers[2...]), "\(numbers) at \(part.resolution)")
      }
    }
  }

  /// What the sizes are for, whatever the resolution: whole steps, no more than the square's area, and the square itself.
  @Test(arguments: [(512, 64), (520, 64), (1000, 64), (64, 16), (32, 16), (24, 16), (16, 64), (2048, 64)])
  func sizesHaveTheSquaresArea(resolution: Int, step: Int) {
    let buckets = AspectBuckets(resolution: resolution, step: step)
    let square = PictureSize(width: resolution, height: resolution)
    #expect(buckets.sizes.contains(square))
    for size in buckets.sizes where size != square {
      #expect(size.width % step == 0 && size.height % step == 0 && size.width != size.height)
      #expect(size.width * size.height <= resolution * resolution)
      #expect(max(size.width, size.height) < 2 * resolution + step)
    }
    #expect(buckets.size(width: 700, height: 700) == square)
    #expect(AspectBuckets(resolution: resolution).size(width: 4000, height: 1000) == square)
  }

  @Test func stepsAreWhatAModelNeeds() {
    #expect(ModelShape.sd15.bucketStep(resolution: 512) == 64)
    #expect(ModelShape.sdxl.bucketStep(resolution: 1024) == 64)
    #expect(ModelShape.sdxl.bucketStep(resolution: 256) == 32)
    #expect(ModelShape.demo.bucketStep(resolution: 64) == 16)
  }

  @Test func runsFromBeforeThereWereBucketsHaveSquares() throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<a>", vectors: 1), initializer: "a", kind: .object, resolution: 64,
      precision: .float32)
    #expect(settings.buckets(.demo).sizes.count > 1)
    var object = try #require(
      JSONSerialization.jsonObject(with: JSONEncoder().encode(settings)) as? [String: Any])
    object["pictureSet"] = nil
    let earlier = try JSONDecoder().decode(
      TrainingSettings.self, from: JSONSerialization.data(withJSONObject: object))
    #expect(!earlier.pictureSet.buckets && earlier.buckets(.demo).sizes == [PictureSize(width: 64, height: 64)])
    (settings.pictureSet.buckets, settings.pictureSet.alpha) = (false, .ignored)
    #expect(settings == earlier)
  }
}
