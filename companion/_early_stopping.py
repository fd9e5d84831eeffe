"""Early stopping: what belongs to the best epoch of each copy of a net."""

import numpy as np

from companion.normalization import BatchNorm


class BestWeights:
    """Keep for each copy what it had after its best epoch, and say which still train.

    Without a `patience` all of them do, and nothing is kept.
    """

    def __init__(self, net, patience, copies):
        self.net, self.patience = net, patience
        self.training = np.full(copies, True)
        self.epoch = np.full(copies, -1)
        self.loss = np.full(copies, np.inf)
        if patience is not None:
            self.arrays = [holder[name] for holder, name in self._arrays()]
            self.counts = [layer.n_batches for layer in self._norms()]

    def see(self, epoch, loss):
        """Compare the validation loss after an epoch with the lowest ones."""
        if self.patience is None:
            return
        better = self.training & (loss < self.loss)
        self.epoch = np.where(better, epoch, self.epoch)
        self.loss = np.where(better, loss, self.loss)
        for i, (holder, name) in enumerate(self._arrays()):
            now, then = holder[name], self.arrays[i]
            mine = better.reshape(better.shape + (1,) * (now.ndim - better.ndim))
            self.arrays[i] = np.where(mine, now, then)
        if better.any():
            self.counts = [layer.n_batches for layer in self._norms()]
        self.training = epoch - self.epoch < self.patience

    def restore(self):
        for (holder, name), array in zip(self._arrays(), self.arrays, strict=True):
            holder[name] = array
        for layer, count in zip(self._norms(), self.counts, strict=True):
            layer.n_batches = count

    def _arrays(self):
        """Return where the net keeps what belongs to a copy: dictionary and name."""
        places = [
            (d.parameters, name) for d in self.net.trainable for name in d.parameters
        ]
        for layer in self._norms():
            places += [(vars(layer), "running_mean"), (vars(layer), "running_var")]
        return places

    def _norms(self):
        return [layer for layer in self.net.layers if isinstance(layer, BatchNorm)]
