"""``python -m asteroid.cli``"""

from asteroid.cli import main

if __name__ == "__main__":
    main()
