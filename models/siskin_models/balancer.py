"""Loss balancer: every loss gets its share of the gradient, whatever its scale (EnCodec, Defossez et al. 2022, 3.4)."""
import torch


class Balancer:
    def __init__(self, shares, decay=0.99):
        self.shares, self.decay, self.norms = shares, decay, {}

    def gradient(self, losses, output):
        """Gradient of the balanced sum with respect to `output`: each loss's part has, on average, the norm of its share."""
        total = sum(self.shares[k] for k in losses)
        whole = torch.zeros_like(output)
        for name, loss in losses.items():
            grad, = torch.autograd.grad(loss, output, retain_graph=True)
            norm = float(grad.norm())
            before = self.norms.get(name, norm)
            self.norms[name] = self.decay * before + (1 - self.decay) * norm
            whole += grad * (self.shares[name] / total / (self.norms[name] + 1e-12))
        return whole
