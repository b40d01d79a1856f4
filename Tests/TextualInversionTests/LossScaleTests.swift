import Tensors
import Testing
import TextualInversion

@Suite struct LossScaleTests {
  @Test func halvesOnAnOverflowAndDoublesAfterGoodSteps() {
    var scale = LossScale(for: .float16)
    let start = scale.value
    let canGoOn = scale.overflowed()
    #expect(canGoOn)
    #expect(scale.value == start / 2)
    for _ in 0..<200 { scale.succeeded() }
    #expect(scale.value == start)
  }

  @Test func comesToAnEnd() {
    var scale = LossScale(for: .float16)
    var halvings = 0
    while scale.overflowed() { halvings += 1 }
    #expect(scale.value == 1)
    #expect(halvings == 16)
  }

  @Test(arguments: [ElementType.float32, .bfloat16]) func isOneWhereNoneIsNeeded(type: ElementType) {
    var scale = LossScale(for: type)
    for _ in 0..<1000 { scale.succeeded() }
    #expect(scale.value == 1)
    let canGoOn = scale.overflowed()
    #expect(!canGoOn)
  }
}
