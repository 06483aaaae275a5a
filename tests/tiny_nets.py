"""Networks of the tests that no library has."""

from torch import nn


class TinyJoint(nn.Module):
    """A network with two heads, which returns logits of the mask (B, 1, S, S) and of three classes (B, 3)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 5, padding=2), nn.ReLU())
        self.classes = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
        self.mask = nn.Conv2d(16, 1, 3, padding=1)
        nn.init.normal_(self.mask.weight, std=3)  # outlines differ from image to image
        nn.init.normal_(self.classes[2].weight, std=5)

    def forward(self, image):
        features = self.body(image)
        return self.mask(features), self.classes(features)
