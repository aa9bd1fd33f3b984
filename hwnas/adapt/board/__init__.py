"""What runs beside a bundle: a head and a drift score, by numpy and one runtime. Python 3.9 syntax."""
