"""Multi-head attention over tokens, and the position of one token relative to another."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def small(*size: int) -> nn.Parameter:
    """A parameter of vision transformers: normal numbers of deviation 0.02, cut off at two."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(size), std=0.02))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer as vision transformers begin with: small weights, a bias of zeros."""
    layer = nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


class RelativePosition(nn.Module):
    """A vector for each pair of tokens: one by their vertical plus one by their horizontal distance, each cut off at
    `reach`; all pairs with the class token share one (Wu et al., ICCV 2021, as AutoFormer uses it).

    All pairs would be a tensor of tokens x tokens x width. Along an axis they are few: a grid of 14x14 patches has 27
    distances. So products with them are taken axis by axis, and what belongs together is summed before.
    """

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.vertical = small(width, 2 * reach + 2)
        self.horizontal = small(width, 2 * reach + 2)

    def scores(self, queries: Tensor) -> Tensor:
        """Products of queries with the vectors of all their pairs: (N, tokens, width) to (N, tokens, tokens)."""
        grid = self._grid(queries.shape[1])
        to_class = queries @ self._of_class()[:, None]
        patches = torch.unflatten(queries[:, 1:], 1, (grid, grid))
        rows = patches @ self._by_distance(self.vertical, grid)
        columns = (patches.transpose(1, 2) @ self._by_distance(self.horizontal, grid)).transpose(1, 2)
        between = rows.flatten(1, 2)[:, :, :, None] + columns.flatten(1, 2)[:, :, None, :]
        of_patches = torch.cat([to_class[:, 1:], between.flatten(2)], 2)
        return torch.cat([to_class[:, :1].expand_as(of_patches[:, :1]), of_patches], 1)

    def values(self, attention: Tensor) -> Tensor:
        """The vectors of all pairs, weighed by attention: (N, tokens, tokens) to (N, tokens, width)."""
        grid, of_class = self._grid(attention.shape[1]), self._of_class()
        between = torch.unflatten(attention[:, 1:, 1:], 2, (grid, grid))
        rows, columns = (torch.unflatten(between.sum(axis), 1, (grid, grid)) for axis in (3, 2))
        rows = rows @ self._by_distance(self.vertical, grid).transpose(1, 2)
        columns = columns.transpose(1, 2) @ self._by_distance(self.horizontal, grid).transpose(1, 2)
        patches = (rows + columns.transpose(1, 2)).flatten(1, 2) + attention[:, 1:, :1] * of_class
        return torch.cat([of_class.expand_as(patches[:, :1]), patches], 1)  # attention of a token adds up to 1

    def _grid(self, tokens: int) -> int:
        grid = math.isqrt(tokens - 1)
        if grid * grid != tokens - 1:
            raise ValueError(f"{tokens} tokens are no class token and a square of patches")
        return grid

    def _of_class(self) -> Tensor:
        return self.vertical[:, 0] + self.horizontal[:, 0]

    def _by_distance(self, table: Tensor, grid: int) -> Tensor:
        """(grid, width, grid): for each place of a query along the axis, the vectors of all places of a key."""
        places = torch.arange(grid, device=table.device)
        distances = (places[None, :] - places[:, None]).clamp(-self.reach, self.reach)
        return table[:, distances + self.reach + 1].transpose(0, 1)


class Attention(nn.Module):
    """Multi-head self-attention. Shape: (N, tokens, width) to the same.

    Queries, keys and values have projections of their own: fewer heads are then the leading rows of each. What was used
    is let go, as runtimes do: scores of all pairs of tokens are most of what an inference holds.
    """

    def __init__(self, width: int, heads: int, head_width: int, reach: int = 0) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_width**-0.5
        self.query, self.key, self.value = (linear(width, heads * head_width) for _ in range(3))
        self.relative_key = RelativePosition(head_width, reach) if reach else None
        self.relative_value = RelativePosition(head_width, reach) if reach else None
        self.project = linear(heads * head_width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries = self._by_head(self.query(x)) * self.scale
        scores = queries @ self._by_head(self.key(x)).transpose(1, 2)
        if self.relative_key is not None:
            scores = scores + self.relative_key.scores(queries)
        del queries
        attention = scores.softmax(2)
        del scores
        mixed = attention @ self._by_head(self.value(x))
        if self.relative_value is not None:
            mixed = mixed + self.relative_value.values(attention)
        del attention
        out: Tensor = self.project(torch.unflatten(mixed, 0, (-1, self.heads)).transpose(1, 2).flatten(2))
        return out

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, tokens, heads * width) to (N * heads, tokens, width)."""
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2).flatten(0, 1)


class Embedding(nn.Module):
    """A convolution of the patch's size and stride, the class token, learned positions."""

    def __init__(self, channels: int, width: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.conv = nn.Conv2d(channels, width, patch, patch)
        self.class_token = small(width)
        self.position = small(width, 1 + grid * grid)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv(images)
        if tuple(patches.shape[2:]) != (self.grid, self.grid):
            raise ValueError(f"{' x '.join(map(str, patches.shape[2:]))} patches where `grid` is {self.grid}")
        tokens = functional.pad(patches.flatten(2).transpose(1, 2), (0, 0, 1, 0))
        first = functional.pad(self.class_token[None], (0, 0, 0, self.grid * self.grid))
        return (tokens + (self.position.transpose(0, 1) + first)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention and two linear layers, normalised before. Shape: (N, width, tokens) to the same."""

    def __init__(self, attention: nn.Module, expand: nn.Linear, act: nn.Module, reduce: nn.Linear) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(expand.in_features), attention
        self.mlp_norm, self.expand, self.act, self.reduce = nn.LayerNorm(expand.in_features), expand, act, reduce

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        x = x + self.attention(self.attention_norm(x))
        x = x + self.reduce(self.act(self.expand(self.mlp_norm(x))))
        return x.transpose(1, 2)


class TokenHead(nn.Module):
    """Normalisation, pooling, a linear layer. Shape: (N, width, tokens) to (N, classes)."""

    def __init__(self, width: int, classes: int, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.LayerNorm(width)
        self.linear = linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.norm(x[:, :, 0]) if self.pool == "class" else self.norm(x.transpose(1, 2))[:, 1:].mean(1)
        out: Tensor = self.linear(pooled)
        return out
