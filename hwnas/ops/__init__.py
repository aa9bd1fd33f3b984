"""Operators: the links of a network. A new one is one file and one row here."""

from hwnas.ops.operator import Operator, Shape
from hwnas.registry import Family

OPERATORS = Family(
    "operators",
    {  # name in YAML -> where it lives; imported on use
        "conv": "hwnas.ops.conv:Conv",
        "mbconv": "hwnas.ops.mbconv:MBConv",
        "bottleneck": "hwnas.ops.bottleneck:Bottleneck",
        "fbconv": "hwnas.ops.fbconv:FBConv",
        "resmbconv": "hwnas.ops.resmbconv:ResMBConv",
        "deepstem": "hwnas.ops.deepstem:DeepStem",
        "expandhead": "hwnas.ops.expandhead:ExpandHead",
        "classifier": "hwnas.ops.classifier:Classifier",
        "patchembed": "hwnas.ops.patchembed:PatchEmbed",
        "transformer": "hwnas.ops.transformer:Transformer",
        "tokenclassifier": "hwnas.ops.tokenclassifier:TokenClassifier",
        "cell": "hwnas.ops.cell:Cell",
        "reduction": "hwnas.ops.reduction:Reduction",
        "readout": "hwnas.ops.readout:Readout",
        "conv1d": "hwnas.ops.conv1d:Conv1d",
        "dsconv1d": "hwnas.ops.dsconv1d:DSConv1d",
        "tcn": "hwnas.ops.tcn:TCN",
        "mingru": "hwnas.ops.mingru:MinGRU",
        "upconv1d": "hwnas.ops.upconv1d:UpConv1d",
        "conv2d": "hwnas.ops.conv2d:Conv2d",
        "dsconv": "hwnas.ops.dsconv:DSConv",
        "basicblock": "hwnas.ops.basicblock:BasicBlock",
        "upconv": "hwnas.ops.upconv:UpConv",
        "mlp": "hwnas.ops.mlp:MLP",
        "densehead": "hwnas.ops.densehead:DenseHead",
        "regressor": "hwnas.ops.regressor:Regressor",
        "logmel": "hwnas.ops.logmel:LogMel",
    },
    "hwnas.ops.plugins:fault_of_member",
)

__all__ = ["OPERATORS", "Operator", "Shape"]
